//! The worker behind the queue. It alone publishes what was committed, so that everyone sees a
//! chat's changes in the order of their numbers.

use super::{
    Change, Outcome,
    batch::{self, BatchResult},
    writer::{BATCH, COMMIT_LIMIT, Job, LastOutcome, WAIT_LIMIT},
};
use crate::{
    error::catch_panic,
    error::{Code, Error},
    hub::{Event, Hub},
    metrics::WriterMetrics,
    model::{ChatId, Message, Seq, Timestamp},
    protocol::{self, Frame},
    repository::{LockedChatRepository, MessageLogRepository, SendAttempt, SingleMessage},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};
use tokio::{select, sync::mpsc, time};
use tokio_util::sync::CancellationToken;

/// Owns the queue's far end and all that is in flight.
pub struct Worker {
    queue: mpsc::Receiver<Job>,
    pub(super) log: MessageLogRepository,
    pub(super) locked_chats: LockedChatRepository,
    pub(super) hub: Hub,
    metrics: WriterMetrics,
    stop: CancellationToken,
    /// Chats whose lock another server held when it was asked for last.
    pub(super) blocked: HashSet<ChatId>,
    /// What became of the last change, for readiness.
    pub(super) outcome: LastOutcome,
}

/// The state of the log before a transaction begins.
struct Known {
    /// How often every socket had to begin again.
    generation: u64,
    /// Up to which change chats are stored.
    stored: HashMap<ChatId, Seq>,
}

/// How long a transaction waits for the locks of its chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockWait {
    /// As long as the store says.
    Default,
    /// A moment.
    Short,
}

/// Why a transaction did not succeed for certain.
pub(super) enum CommitError {
    /// Nothing of it was stored.
    NotCommitted(Error),
    /// It may have been stored.
    InDoubt(Error),
}

/// How long changes are tried one by one before the rest is refused: with the wait for the batch and
/// the last of them, every sender is still answered within 5 s.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);

impl Worker {
    pub(super) fn new(
        queue: mpsc::Receiver<Job>,
        log: MessageLogRepository,
        locked_chats: LockedChatRepository,
        (hub, metrics): (Hub, WriterMetrics),
        stop: CancellationToken,
    ) -> Self {
        Self {
            queue,
            log,
            locked_chats,
            hub,
            metrics,
            stop,
            blocked: HashSet::new(),
            outcome: LastOutcome::default(),
        }
    }

    /// Works until `stop`; then refuses new changes and finishes those that wait.
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

    async fn work(&mut self, jobs: &mut Vec<Job>) {
        while !jobs.is_empty() {
            for late in jobs.extract_if(.., |job| job.since.elapsed() > WAIT_LIMIT) {
                answer(late, Err(Error::unavailable()));
            }
            match batch::batchable_prefix(jobs.iter().map(|job| &job.change)) {
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
        let begin = Instant::now();
        let answers = match self.meets_blocked(&changes) {
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

    /// The answers to changes that were stored together, or not.
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
                // A lock is another server's, and says nothing of the store.
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

    /// Tries each by itself, but not for so long that the last would wait for too long.
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

    /// One transaction, published when it is committed.
    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
        patience: LockWait,
    ) -> Result<Vec<Result<Outcome, Error>>, CommitError> {
        let chats: BTreeSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let known = Known {
            generation: self.hub.generation(),
            stored: self.hub.stored(&Vec::from_iter(chats)),
        };
        // One limit for both ways: who takes the long one after the short one has no more time.
        let limit = time::Instant::now() + COMMIT_LIMIT;
        if let ([change], LockWait::Default, true) = (changes, patience, takes_short_way()) {
            let sending = async { Ok(send(&self.log, change).await) };
            // What panics may have stored it before: it is one statement that commits by itself.
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
            let mut tx = match patience {
                LockWait::Default => self.log.begin().await?,
                LockWait::Short => self.log.begin_in_haste().await?,
            };
            let outcome = batch::write(&mut tx, changes).await?;
            if !outcome.news.is_empty() {
                committing = true;
                #[cfg(feature = "planted-faults")]
                if crate::failpoints::broadcasts_before_commit() {
                    self.publish(&outcome.news, &known);
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
                self.publish(&outcome.news, &known);
                Ok(outcome.answers)
            }
            Err(error) if committing => Err(CommitError::InDoubt(error)),
            Err(error) => Err(CommitError::NotCommitted(error)),
        }
    }

    /// One atomic for each message: nothing is looked up or made for it.
    fn count(&self, change: protocol::ChangeKind) {
        match change {
            protocol::ChangeKind::Sent => self.metrics.sent.inc(),
            protocol::ChangeKind::Edited => self.metrics.edited.inc(),
            protocol::ChangeKind::Deleted => self.metrics.deleted.inc(),
        };
    }

    /// Tells what was committed. Where a number was stored before the transaction began, and is given
    /// again, the database went back meanwhile.
    fn publish(&self, news: &[(protocol::ChangeKind, Message)], known: &Known) {
        if !news.is_empty() {
            self.outcome.note(true);
        }
        let mut chats: BTreeMap<ChatId, Vec<(Seq, Frame)>> = BTreeMap::new();
        for (change, message) in news {
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

/// Whether a lone message is sent in one round trip, which leaves no moment before its commit.
#[cfg(feature = "planted-faults")]
fn takes_short_way() -> bool {
    !crate::failpoints::broadcasts_before_commit() && !crate::failpoints::believes_failed_commits()
}

/// Always.
#[cfg(not(feature = "planted-faults"))]
const fn takes_short_way() -> bool {
    true
}

/// Logs the cause once and tells everyone the same.
pub(super) fn refuse_all(
    changes: &[Change],
    error: &Error,
    told: impl Fn() -> Error,
) -> Vec<Result<Outcome, Error>> {
    tracing::warn!(changes = changes.len(), "a batch was not stored");
    error.log();
    changes.iter().map(|_| Err(told())).collect()
}

fn answer(job: Job, answer: Result<Outcome, Error>) {
    // Whoever asked may be gone; then nobody waits for it.
    let _ = job.reply.send(answer);
}

/// Tries to store a change by itself.
pub(super) async fn send(log: &MessageLogRepository, change: &Change) -> SendAttempt {
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
            log.send_alone(&new, Timestamp::now()).await
        }
        _ => SendAttempt::Declined,
    }
}
