//! The worker behind the writer's queue. It takes changes in batches, commits each batch and publishes the
//! committed changes to the hub. One task publishes for the whole node, so that every socket sees a chat's
//! changes in `seq` order.

use super::{
    Change, Outcome,
    batch::{self, BatchResult},
    writer::{BATCH, COMMIT_LIMIT, Job, LastOutcome, WAIT_LIMIT},
};
use crate::{
    database::Database,
    error::{Code, Error, catch_panic},
    hub::{Event, Hub},
    metrics::WriterMetrics,
    model::{ChatId, Message, Seq, Timestamp},
    protocol::{self, Frame},
    repository::{SendAttempt, SingleMessage},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};
use tokio::{select, sync::mpsc, time};
use tokio_util::sync::CancellationToken;

/// The task that commits and publishes queued changes.
pub struct Worker {
    queue: mpsc::Receiver<Job>,
    pub(super) database: Database,
    pub(super) hub: Hub,
    metrics: WriterMetrics,
    stop: CancellationToken,
    /// Chats with a row lock that another node held at the last attempt.
    pub(super) blocked: HashSet<ChatId>,
    /// Whether the database stored the last change, for the readiness check.
    pub(super) outcome: LastOutcome,
}

/// The state of the log that this node knew before a transaction began.
struct Known {
    /// The hub's generation: the number of resets of all sockets since the process started.
    generation: u64,
    /// The highest `seq` of each chat that is known to be stored.
    stored: HashMap<ChatId, Seq>,
}

/// The maximum time that a statement waits for the row lock of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockWait {
    /// The timeout of the database connection: 1.5 s on Postgres.
    Default,
    /// 250 ms on Postgres.
    Short,
}

/// The failure of a transaction.
pub(super) enum CommitError {
    /// Nothing was stored.
    NotCommitted(Error),
    /// The changes may be stored: the commit was begun and not confirmed.
    InDoubt(Error),
}

/// How long the changes of a failed batch are retried one by one before the rest is refused. With the wait
/// for the batch and the last retry, every sender is still answered within 5 s.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);

impl Worker {
    pub(super) fn new(
        queue: mpsc::Receiver<Job>,
        database: Database,
        hub: Hub,
        metrics: WriterMetrics,
        stop: CancellationToken,
    ) -> Self {
        Self {
            queue,
            database,
            hub,
            metrics,
            stop,
            blocked: HashSet::new(),
            outcome: LastOutcome::default(),
        }
    }

    /// Commits changes until `stop`; then refuses new changes, finishes the queued ones and returns.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let taken = select! {
                biased;
                () = self.stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
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

    /// Commits the jobs in their order: batches of changes that can share a transaction, and exclusive
    /// changes one by one. Jobs that waited longer than `WAIT_LIMIT` are refused.
    async fn work(&mut self, jobs: &mut Vec<Job>) {
        while !jobs.is_empty() {
            for late in jobs.extract_if(.., |job| job.since.elapsed() > WAIT_LIMIT) {
                answer(late, Err(Error::unavailable()));
            }
            match batch::batchable_prefix(jobs.iter().map(|job| &job.change)) {
                0 if jobs.is_empty() => {}
                0 => {
                    let job = jobs.remove(0);
                    let outcome = self.exclusive(&job.change).await;
                    answer(job, outcome);
                }
                shared => {
                    let shared = jobs.drain(..shared).collect();
                    self.commit_batch(shared).await;
                }
            }
        }
    }

    /// Commits a batch in one transaction and answers its senders. If another node holds the lock of one of
    /// the chats, the unlocked chats are committed first.
    async fn commit_batch(&mut self, jobs: Vec<Job>) {
        let (changes, replies): (Vec<Change>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, (job.reply, job.since)))
            .unzip();
        let begin = Instant::now();
        let answers = match self.has_blocked_chat(&changes) {
            true => self.commit_unlocked_first(&changes).await,
            false => match self.commit(&changes, LockWait::Default).await {
                Err(CommitError::NotCommitted(error)) if error.is_locked() => {
                    self.commit_unlocked_first(&changes).await
                }
                committed => self.settle(&changes, committed).await,
            },
        };
        self.metrics.batch.observe(changes.len() as u64);
        self.metrics.commit.observe_time(begin.elapsed());
        for ((reply, since), answer) in replies.into_iter().zip(answers) {
            if let Ok(Outcome::Message(_)) = answer {
                self.metrics.publication.observe_time(since.elapsed());
            }
            let _ = reply.send(answer);
        }
    }

    /// Turns the result of a transaction into the answers to its changes. An internal error may be caused by
    /// a single change, so each change is then retried on its own and cannot fail for another.
    pub(super) async fn settle(
        &mut self,
        changes: &[Change],
        committed: Result<Vec<Result<Outcome, Error>>, CommitError>,
    ) -> Vec<Result<Outcome, Error>> {
        match committed {
            Ok(answers) => answers,
            Err(CommitError::NotCommitted(error)) if error.code() == Code::Internal => {
                self.one_by_one(changes, error).await
            }
            Err(CommitError::NotCommitted(error)) => {
                // A lock that another node holds does not mean that the database is unavailable.
                if !error.is_locked() {
                    self.outcome.note(false);
                }
                refuse_all(changes, &error, Error::unavailable)
            }
            Err(CommitError::InDoubt(error)) => {
                self.outcome.note(false);
                refuse_all(changes, &error, Error::in_doubt)
            }
        }
    }

    /// Retries each change in a transaction of its own, for at most `ONE_BY_ONE_LIMIT`; refuses the rest. A
    /// batch of one is not retried: its error is the answer.
    async fn one_by_one(
        &mut self,
        changes: &[Change],
        error: Error,
    ) -> Vec<Result<Outcome, Error>> {
        if changes.len() == 1 {
            return vec![Err(error)];
        }
        error.log();
        let mut answers = Vec::with_capacity(changes.len());
        let until = Instant::now() + ONE_BY_ONE_LIMIT;
        for change in changes {
            if Instant::now() > until {
                answers.push(Err(Error::unavailable()));
                continue;
            }
            let mut one = match self
                .commit(std::slice::from_ref(change), LockWait::Default)
                .await
            {
                Ok(one) => one,
                Err(CommitError::NotCommitted(error)) if error.code() == Code::Internal => {
                    vec![Err(error)]
                }
                Err(CommitError::NotCommitted(error)) => {
                    error.log();
                    vec![Err(Error::unavailable())]
                }
                Err(CommitError::InDoubt(error)) => {
                    error.log();
                    vec![Err(Error::in_doubt())]
                }
            };
            answers.append(&mut one);
        }
        answers
    }

    /// Commits the changes in one transaction, then publishes them. A single new message is first tried as
    /// one statement, which saves the round trips of a transaction.
    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
        lock_wait: LockWait,
    ) -> Result<Vec<Result<Outcome, Error>>, CommitError> {
        let chats: BTreeSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let known = Known {
            generation: self.hub.generation(),
            stored: self.hub.stored(&Vec::from_iter(chats)),
        };
        // One limit for both attempts: a change that falls back to a transaction gets no extra time.
        let limit = time::Instant::now() + COMMIT_LIMIT;
        if let ([change], LockWait::Default, true) = (changes, lock_wait, allows_single_statement())
        {
            let sending = async { Ok(send(&self.database, change).await) };
            // A panic leaves the commit in doubt: the statement commits by itself, perhaps before the panic.
            let attempt = time::timeout_at(limit, catch_panic(sending)).await;
            match attempt.map(|attempt| attempt.unwrap_or_else(SendAttempt::InDoubt)) {
                Ok(SendAttempt::Sent(message)) => {
                    self.publish(&[(protocol::ChangeKind::Sent, (*message).clone())], &known);
                    return Ok(vec![Ok(Outcome::Message(message))]);
                }
                Ok(SendAttempt::Declined) => {}
                Ok(SendAttempt::NotCommitted(error)) => {
                    return Err(CommitError::NotCommitted(error));
                }
                Ok(SendAttempt::InDoubt(error)) => return Err(CommitError::InDoubt(error)),
                Err(_) => return Err(CommitError::InDoubt(Error::unavailable())),
            }
        }
        let mut committing = false;
        let transaction = async {
            let log = self.database.message_log();
            let mut tx = match lock_wait {
                LockWait::Default => log.begin().await?,
                LockWait::Short => log.begin_with_short_lock_timeout().await?,
            };
            let outcome = batch::write(&mut tx, changes).await?;
            if !outcome.events.is_empty() {
                committing = true;
                #[cfg(feature = "planted-faults")]
                if crate::failpoints::broadcasts_before_commit() {
                    self.publish(&outcome.events, &known);
                    if crate::failpoints::fails_this_commit() {
                        return Err(Error::unavailable());
                    }
                }
                tx.commit().await?;
            }
            Ok::<BatchResult, Error>(outcome)
        };
        let result = time::timeout_at(limit, catch_panic(transaction)).await;
        match result.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(outcome) => {
                self.publish(&outcome.events, &known);
                Ok(outcome.answers)
            }
            Err(error) if committing => Err(CommitError::InDoubt(error)),
            Err(error) => Err(CommitError::NotCommitted(error)),
        }
    }

    /// Counts a committed change. Costs one atomic operation: the counters are resolved at the start.
    fn count(&self, change: protocol::ChangeKind) {
        match change {
            protocol::ChangeKind::Sent => self.metrics.sent.inc(),
            protocol::ChangeKind::Edited => self.metrics.edited.inc(),
            protocol::ChangeKind::Deleted => self.metrics.deleted.inc(),
        };
    }

    /// Publishes committed changes to the hub, each chat's as one batch. A `seq` that was known to be stored
    /// before the transaction began proves that the database went back in between; the hub then signals a
    /// contradiction.
    fn publish(&self, events: &[(protocol::ChangeKind, Message)], known: &Known) {
        if !events.is_empty() {
            self.outcome.note(true);
        }
        let mut chats: BTreeMap<ChatId, Vec<(Seq, Frame)>> = BTreeMap::new();
        for (change, message) in events {
            self.count(*change);
            self.hub.committed(message.chat_id, message.seq);
            if known.stored.get(&message.chat_id) >= Some(&message.seq) {
                self.hub.contradict(known.generation);
            }
            if self.hub.is_heard(message.chat_id) {
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
}

/// Whether a single message may be sent as one statement. False for the fail points around the commit: one
/// statement has no step between its write and its commit.
#[cfg(feature = "planted-faults")]
fn allows_single_statement() -> bool {
    !crate::failpoints::broadcasts_before_commit() && !crate::failpoints::believes_failed_commits()
}

/// Without fail points, a single message may always be sent as one statement.
#[cfg(not(feature = "planted-faults"))]
const fn allows_single_statement() -> bool {
    true
}

/// Logs the error once, and answers every change with an error made by `refusal`.
pub(super) fn refuse_all(
    changes: &[Change],
    error: &Error,
    refusal: impl Fn() -> Error,
) -> Vec<Result<Outcome, Error>> {
    tracing::warn!(changes = changes.len(), "a batch was not stored");
    error.log();
    changes.iter().map(|_| Err(refusal())).collect()
}

fn answer(job: Job, answer: Result<Outcome, Error>) {
    // The sender may have stopped waiting; the answer is then dropped.
    let _ = job.reply.send(answer);
}

/// Tries to store a new message as one statement. Declines every other change, and a reply.
pub(super) async fn send(database: &Database, change: &Change) -> SendAttempt {
    match change {
        Change::Send {
            caller,
            author,
            chat,
            content,
            key,
            reply_to: None,
        } => {
            let new = SingleMessage {
                chat: *chat,
                author: *author,
                content,
                key: key.as_ref(),
                members_only: caller.members_only(),
            };
            let log = database.message_log();
            log.send_single(&new, Timestamp::now()).await
        }
        _ => SendAttempt::Declined,
    }
}
