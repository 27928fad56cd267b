//! One era: clients and admins work while faults are injected. Afterwards, without faults, the results
//! are checked.

use crate::{
    check,
    client::Client,
    directory,
    phase::Phase,
    presence,
    record::{ChatId, Kind, Outcome},
    run::{Rows, Run},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time};

/// The maximum number of final resumes, which are repeated if the store changes meanwhile.
const ROUNDS: u32 = 5;

impl Run<'_> {
    /// Runs an era and checks it. Returns the messages that are stored at its end.
    pub async fn era(&mut self, era: u32) -> Result<Rows, String> {
        let (phases, phase) = watch::channel(Phase::Working);
        let mut working = JoinSet::new();
        for mut client in self.clients.drain(..) {
            client.phase = phase.clone();
            working.spawn(client.run());
        }
        let admins = self.options.admins;
        let admins = directory::start(admins, era, &self.rest, &mut self.rng, &phase);
        let seconds = self.options.seconds as f64 / f64::from(self.restores + 1);
        let length = Duration::from_secs_f64(seconds);
        if era < self.restores {
            self.nemesis.plan_backup(length, &self.rest, &self.chats);
        }
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
        let users: Vec<i64> = (self.clients.iter().map(|client| client.journal.user)).collect();
        let asking = self.last_sender.user;
        let present = presence::check(&self.addresses, &self.chats, &users, asking).await;
        self.report.add_violations(present);
        let (counts, found) = directory::check(&self.rest, admins).await?;
        self.report.directory.add(&counts);
        self.report.add_violations(found);
        self.conclude(&rows);
        Ok(rows)
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
        for _ in 0..ROUNDS {
            let mut resuming = JoinSet::new();
            for client in self.clients.drain(..) {
                resuming.spawn(resume_all(client));
            }
            self.clients = resuming.join_all().await;
            for &chat in &self.chats {
                rows.insert(chat, self.rest.log(chat, 0).await?);
            }
            let head = |chat: &ChatId| rows[chat].last().map(|row| row.seq);
            let mut finals = self
                .clients
                .iter()
                .flat_map(|client| &client.journal.finals);
            if finals.all(|(chat, seq)| head(chat) == Some(*seq)) {
                break;
            }
        }
        self.clients.sort_by_key(|client| client.journal.client);
        Ok(rows)
    }

    fn conclude(&mut self, rows: &Rows) {
        let mut report = std::mem::take(&mut self.report);
        let journals = self.journals();
        let findings = check::check(&journals, &self.baseline, rows);
        report.stored_messages = rows.values().map(Vec::len).sum();
        for journal in journals {
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
