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

        let lasts = self.say_last().await?;
        phases.send_replace(Phase::Closing(Arc::new(lasts)));
        self.clients = working.join_all().await;
        let rows = self.settle().await?;
        let users: Vec<i64> = (self.clients.iter().map(|client| client.journal.user)).collect();
        let asking = self.closer.user;
        let present = presence::check(&self.addresses, &self.chats, &users, asking).await;
        self.report.blame(present);
        let (counts, found) = directory::check(&self.rest, admins).await?;
        self.report.directory.add(&counts);
        self.report.blame(found);
        self.judge(&rows);
        Ok(rows)
    }

    /// Sends the last message of each chat. Returns its seq by chat. An operation that the server
    /// accepted earlier is committed before the last message, or never.
    async fn say_last(&mut self) -> Result<BTreeMap<ChatId, i64>, String> {
        let mut lasts = BTreeMap::new();
        let closer = &mut self.closer;
        for &chat in &self.chats {
            let op = closer.begin(chat, Kind::Send);
            for _ in 0..60 {
                self.rest.send(closer, op).await;
                if closer.op(op).outcome() == Outcome::Acked {
                    break;
                }
                time::sleep(Duration::from_millis(500)).await;
            }
            let ack = closer.op(op).acks.first().and_then(|ack| ack.seq);
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

    fn judge(&mut self, rows: &Rows) {
        let mut report = std::mem::take(&mut self.report);
        let journals = self.journals();
        let verdict = check::check(&journals, &self.baseline, rows);
        report.stored_messages = rows.values().map(Vec::len).sum();
        for journal in journals {
            report.count(journal);
            report.blame(journal.violations.clone());
        }
        report.unexplained_seqs += verdict.unexplained;
        report.blame(verdict.violations);
        self.report = report;
        for client in &mut self.clients {
            client.journal.violations.clear();
        }
        self.closer.violations.clear();
    }
}

async fn resume_all(mut client: Client) -> Client {
    client.resume_all().await;
    client
}
