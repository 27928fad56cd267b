//! One era: clients and admins work while faults are injected. Afterwards, without faults, the results
//! are checked. An era is the time from the start, or from a restored backup, to the next one.

use crate::{
    acts::Request,
    check::{self, Findings},
    client::Client,
    directory::{self, Model},
    phase::Phase,
    presence,
    record::{ChatId, Kind, Outcome},
    rest::Log,
    run::{Rows, Run},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time};

/// The maximum number of final resumes, which are repeated if the store changes meanwhile.
const RESUMES: u32 = 5;
/// The length of the first round with `--stop-at`. Each later round is twice as long as the one before,
/// so that the checks between them take a small part of a long run.
const FIRST_ROUND: Duration = Duration::from_secs(3);

impl Run<'_> {
    /// Runs an era and checks it. Returns the stored data at its end. With `--stop-at`, the
    /// era has several rounds, each followed by all checks, and ends with the first that reports the kind.
    pub async fn era(&mut self, era: u32) -> Result<Rows, String> {
        let seconds = self.options.seconds as f64 / f64::from(self.restores + 1);
        let mut left = Duration::from_secs_f64(seconds);
        if era < self.restores {
            self.nemesis.plan_backup(left, &self.rest, &self.chats);
        }
        let mut next = self.options.stop_at.map_or(left, |_| FIRST_ROUND);
        loop {
            let length = next.min(left);
            left -= length;
            next *= 2;
            let rows = self.round(length).await?;
            let nodes = self.options.nodes;
            let findings = check::check(&self.journals(), &self.baseline, &rows, nodes);
            if left.is_zero() || self.is_reported(&findings) {
                self.conclude(findings, &rows);
                return Ok(rows);
            }
        }
    }

    /// Lets clients and admins work for this long while faults are injected, then ends all connections.
    /// Returns the stored data.
    async fn round(&mut self, length: Duration) -> Result<Rows, String> {
        self.rounds += 1;
        self.worked += length;
        let (phases, phase) = watch::channel(Phase::Working);
        let mut working = JoinSet::new();
        for mut client in self.clients.drain(..) {
            client.phase = phase.clone();
            working.spawn(client.run());
        }
        let admins = self.options.admins;
        let admins = directory::start(admins, self.rounds, &self.rest, &mut self.rng, &phase);
        let breaking = self.nemesis.run(phase, self.options.calm);
        let timing = async {
            time::sleep(length).await;
            phases.send_replace(Phase::Draining);
        };
        let (broken, ()) = tokio::join!(breaking, timing);
        broken?;

        let lasts = self.send_last_messages().await?;
        phases.send_replace(Phase::Closing(Arc::new(lasts)));
        self.clients = working.join_all().await;
        let rows = self.settle().await?;
        self.check_presence_and_directory(admins).await?;
        Ok(rows)
    }

    async fn check_presence_and_directory(&mut self, admins: JoinSet<Model>) -> Result<(), String> {
        let crashes = std::mem::take(&mut self.nemesis.violations);
        self.report.add_violations(crashes);
        // The sockets of this check make their users members again, if a late removal has ended the membership.
        for client in &mut self.clients {
            let user = client.journal.user;
            for &chat in &self.chats {
                client.journal.begin_act(chat, Request::Join(user));
            }
        }
        let users: Vec<i64> = (self.clients.iter().map(|client| client.journal.user)).collect();
        let asking = self.last_sender.user;
        let present = presence::check(&self.addresses, &self.chats, &users, asking).await;
        self.report.add_violations(present);
        let (counts, found) = directory::check(&self.rest, admins).await?;
        self.report.directory.add(&counts);
        self.report.add_violations(found);
        Ok(())
    }

    /// Sends the last message of each chat. Returns its seq by chat. An operation that the server
    /// accepted earlier is committed before the last message, or never.
    async fn send_last_messages(&mut self) -> Result<BTreeMap<ChatId, i64>, String> {
        let mut lasts = BTreeMap::new();
        let last_sender = &mut self.last_sender;
        for &chat in &self.chats {
            let op = last_sender.begin(chat, Kind::Send);
            for _ in 0..60 {
                self.rest.send(last_sender, op).await;
                if last_sender.op(op).outcome() == Outcome::Acked {
                    break;
                }
                time::sleep(Duration::from_millis(500)).await;
            }
            let ack = last_sender.op(op).acks.first().and_then(|ack| ack.seq);
            lasts.insert(
                chat,
                ack.ok_or("the server does not recover: a send stays unanswered")?,
            );
        }
        Ok(lasts)
    }

    /// Resumes every client for the last time, then reads the store. Requests of a broken connection
    /// may still be in the server's buffers and change a chat meanwhile. Both steps are then repeated.
    async fn settle(&mut self) -> Result<Rows, String> {
        let mut rows = Rows::new();
        for _ in 0..RESUMES {
            let mut resuming = JoinSet::new();
            for client in self.clients.drain(..) {
                resuming.spawn(resume_all(client));
            }
            self.clients = resuming.join_all().await;
            for &chat in &self.chats {
                rows.insert(chat, self.rest.stored(chat).await?);
            }
            let head = |chat: &ChatId| rows.get(chat).map_or(0, Log::head);
            let mut finals = self
                .clients
                .iter()
                .flat_map(|client| &client.journal.finals);
            if finals.all(|(chat, seq)| head(chat) == *seq) {
                break;
            }
        }
        self.clients.sort_by_key(|client| client.journal.client);
        Ok(rows)
    }

    /// True if the report, a journal or these findings have a violation of the kind in `--stop-at`.
    fn is_reported(&self, findings: &Findings) -> bool {
        let journals = self.journals().into_iter();
        let mut violations = journals
            .flat_map(|journal| &journal.violations)
            .chain(&findings.violations);
        self.must_stop() || violations.any(|violation| Some(violation.kind) == self.options.stop_at)
    }

    /// Adds the era to the report.
    fn conclude(&mut self, findings: Findings, rows: &Rows) {
        let mut report = std::mem::take(&mut self.report);
        report.stored_messages = rows.values().map(|log| log.rows.len()).sum();
        for journal in self.journals() {
            report.count(journal);
            report.add_violations(journal.violations.clone());
        }
        report.unexplained_seqs += findings.unexplained;
        report.add_violations(findings.violations);
        self.report = report;
        for client in &mut self.clients {
            client.journal.violations.clear();
        }
        self.last_sender.violations.clear();
    }
}

async fn resume_all(mut client: Client) -> Client {
    client.resume_all().await;
    client
}
