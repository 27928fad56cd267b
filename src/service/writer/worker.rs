//! The worker behind the queue. It alone publishes what was committed, so that everyone sees a
//! chat's changes in the order of their numbers.

use super::{
    BATCH, COMMIT_LIMIT, COMPARE, Job, WAIT_LIMIT,
    batch::{self, Outcome},
    change::{Answer, Change},
};
use crate::{
    error::{Code, Error},
    hub::{Event, Hub},
    model::{ChatId, Message, Seq, Timestamp, UserId},
    protocol::{self, Frame},
    repository::{Burial, LogRepository, Tombstone},
};
use std::collections::{BTreeMap, HashSet};
use tokio::{
    select,
    sync::mpsc,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// Owns the queue's far end and all that is in flight.
pub struct Worker {
    queue: mpsc::Receiver<Job>,
    log: LogRepository,
    hub: Hub,
    stop: CancellationToken,
}

/// Why a transaction did not succeed for certain.
enum Failure {
    /// Nothing of it was stored.
    Undone(Error),
    /// It may have been stored.
    Unknown(Error),
}

impl Worker {
    pub(super) fn new(
        queue: mpsc::Receiver<Job>,
        log: LogRepository,
        hub: Hub,
        stop: CancellationToken,
    ) -> Self {
        Self {
            queue,
            log,
            hub,
            stop,
        }
    }

    /// Works until `stop`; then refuses new changes and finishes those that wait.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        let mut compare = time::interval(COMPARE);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let taken = select! {
                biased;
                () = self.stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
                _ = compare.tick(), if !self.queue.is_closed() => {
                    self.compare_heads().await;
                    continue;
                }
                taken = self.queue.recv_many(&mut jobs, BATCH) => taken,
            };
            if taken == 0 {
                return;
            }
            self.work(&mut jobs).await;
        }
    }

    async fn work(&mut self, jobs: &mut Vec<Job>) {
        while !jobs.is_empty() {
            for late in jobs.extract_if(.., |job| job.since.elapsed() > WAIT_LIMIT) {
                answer(late, Err(Error::unavailable()));
            }
            match batch::prefix(jobs.iter().map(|job| &job.change)) {
                0 if jobs.is_empty() => {}
                0 => {
                    let job = jobs.remove(0);
                    let outcome = self.alone(&job.change).await;
                    answer(job, outcome);
                }
                shared => {
                    let shared = jobs.drain(..shared).collect();
                    self.together(shared).await;
                }
            }
        }
    }

    /// Commits many changes in one transaction. Where the store finds one of them at fault, each
    /// is tried by itself, so that none fails for its neighbour.
    async fn together(&mut self, jobs: Vec<Job>) {
        let (changes, replies): (Vec<Change>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, (job.reply, job.since)))
            .unzip();
        let answers = match self.commit(&changes).await {
            Ok(answers) => answers,
            Err(Failure::Undone(error)) if error.code() == Code::Internal => {
                self.one_by_one(&changes, error).await
            }
            Err(Failure::Undone(error)) => refuse_all(&changes, &error, Error::unavailable),
            Err(Failure::Unknown(error)) => refuse_all(&changes, &error, Error::in_doubt),
        };
        for ((reply, _), answer) in replies.into_iter().zip(answers) {
            let _ = reply.send(answer);
        }
    }

    async fn one_by_one(&mut self, changes: &[Change], error: Error) -> Vec<Result<Answer, Error>> {
        if changes.len() == 1 {
            return vec![Err(error)];
        }
        error.log();
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            let mut one = match self.commit(std::slice::from_ref(change)).await {
                Ok(one) => one,
                Err(Failure::Undone(error)) => vec![Err(error)],
                Err(Failure::Unknown(error)) => {
                    error.log();
                    vec![Err(Error::in_doubt())]
                }
            };
            answers.append(&mut one);
        }
        answers
    }

    /// One transaction, published when it is committed.
    async fn commit(&mut self, changes: &[Change]) -> Result<Vec<Result<Answer, Error>>, Failure> {
        let mut committing = false;
        let transaction = async {
            let mut tx = self.log.begin().await?;
            let outcome = batch::write(&mut tx, changes).await?;
            if !outcome.news.is_empty() {
                committing = true;
                #[cfg(feature = "planted-faults")]
                if crate::planted::broadcasts_before_commit() {
                    self.publish(&outcome.news);
                    if crate::planted::fails_this_commit() {
                        return Err(Error::unavailable());
                    }
                }
                tx.commit().await?;
            }
            Ok::<Outcome, Error>(outcome)
        };
        let result = time::timeout(COMMIT_LIMIT, transaction).await;
        match result.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(outcome) => {
                self.publish(&outcome.news);
                Ok(outcome.answers)
            }
            Err(error) if committing => Err(Failure::Unknown(error)),
            Err(error) => Err(Failure::Undone(error)),
        }
    }

    fn publish(&self, news: &[(protocol::Change, Message)]) {
        let mut chats: BTreeMap<ChatId, Vec<(Seq, Frame)>> = BTreeMap::new();
        for (change, message) in news {
            if self.hub.is_occupied(message.chat_id) {
                let frame = Frame::changed(*change, message);
                chats
                    .entry(message.chat_id)
                    .or_default()
                    .push((message.seq, frame));
            }
        }
        for (chat, frames) in chats {
            self.hub.post(chat, Event::Changes(frames.into()));
        }
    }

    /// What does not share a transaction.
    async fn alone(&mut self, change: &Change) -> Result<Answer, Error> {
        match change {
            Change::DeleteUser(user) => self.delete_user(*user).await,
            Change::DeleteChat(chat) => self.delete_chat(*chat).await,
            Change::Send { .. } | Change::Edit { .. } | Change::Delete { .. } => {
                Err(Error::unavailable())
            }
        }
    }

    async fn delete_user(&self, user: UserId) -> Result<Answer, Error> {
        let deleting = self.log.delete_user(user, Timestamp::now());
        let done = time::timeout(COMMIT_LIMIT, deleting).await;
        let burial = done.unwrap_or_else(|_| Err(Error::in_doubt()))?;
        let Some(Burial { tombstones, done }) = burial else {
            // Perhaps gone by an earlier deletion that was never confirmed.
            self.hub.end(user);
            return Err(Error::user_not_found(user));
        };
        for chat in tombstones.chunk_by(|a, b| a.chat_id == b.chat_id) {
            let frame =
                |t: &Tombstone| (t.seq, Frame::buried(t.chat_id, t.message_id, t.seq, user));
            if let Some(first) = chat.first() {
                self.hub.post(
                    first.chat_id,
                    Event::Changes(chat.iter().map(frame).collect()),
                );
            }
        }
        if !done {
            return Ok(Answer::Partly);
        }
        self.hub.end(user);
        Ok(Answer::Gone)
    }

    async fn delete_chat(&self, chat: ChatId) -> Result<Answer, Error> {
        let deleting = async {
            let mut tx = self.log.begin().await?;
            tx.lock_chats(&[chat]).await?;
            let deleted = tx.delete_chat(chat).await?;
            tx.commit().await?;
            Ok(deleted)
        };
        let done = time::timeout(COMMIT_LIMIT, deleting).await;
        if !done.unwrap_or_else(|_| Err(Error::in_doubt()))? {
            return Err(Error::chat_not_found(chat));
        }
        self.hub.post(chat, Event::Closed);
        Ok(Answer::Gone)
    }

    /// Compares what the chats have been told with what is stored, and tells them where they are
    /// behind: after a commit that was never confirmed, by this server or one before it.
    async fn compare_heads(&self) {
        let chats = self.hub.occupied();
        if chats.is_empty() {
            return;
        }
        let heads = match time::timeout(COMMIT_LIMIT, self.log.heads(&chats)).await {
            Ok(Ok(heads)) => heads,
            Ok(Err(error)) => return error.log(),
            Err(_) => return tracing::warn!("the store does not answer"),
        };
        let stored: HashSet<ChatId> = heads.iter().map(|head| head.chat_id).collect();
        for head in heads {
            self.hub.post(head.chat_id, Event::Behind(head.seq));
        }
        for gone in chats.into_iter().filter(|chat| !stored.contains(chat)) {
            self.hub.post(gone, Event::Closed);
        }
    }
}

/// Logs the cause once and tells everyone the same.
fn refuse_all(
    changes: &[Change],
    error: &Error,
    told: impl Fn() -> Error,
) -> Vec<Result<Answer, Error>> {
    tracing::warn!(changes = changes.len(), "a batch was not stored");
    error.log();
    changes.iter().map(|_| Err(told())).collect()
}

fn answer(job: Job, answer: Result<Answer, Error>) {
    // Whoever asked may be gone; then nobody waits for it.
    let _ = job.reply.send(answer);
}
