//! The write path. Every change to the log passes a bounded queue to one worker, which commits the waiting
//! changes in one transaction (`batch.rs`), publishes them in order, then answers. An idle worker commits a
//! single change without delay; under load many changes share a commit. No change is published before it is
//! committed. One task publishes for the whole node, so that every socket sees a chat's changes in `seq` order.

use super::{Change, MessageRef, Outcome, Pending, Submission, batch::LockWait, submission::Reply};
use crate::{
    database::Database,
    error::Error,
    hub::Hub,
    metrics::WriterMetrics,
    model::ChatId,
    repository::{CommitError, SingleSender},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{select, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// The capacity of the queue, in changes. At some ten thousand changes a second this is under half a second
/// of work. A full queue is backpressure: the sender is answered `unavailable` at once instead of waiting.
const QUEUE: usize = 4096;
/// The maximum number of changes in a transaction: large enough to share the cost of a commit, small enough
/// that a batch takes milliseconds.
const BATCH: usize = 512;
/// The maximum bytes of text in a transaction; the first change is exempt. Changes of a chat that are
/// committed in one transaction are published as one batch, and a chat's channel keeps the last 32 batches
/// for slow sockets. This limit makes that some 32 MiB of text for the busiest chat. Batches of 512 messages
/// of the maximum length would make it 256 MiB.
const BATCH_BYTES: usize = 1024 * 1024;
/// The maximum wait in the queue. After that a change is refused without being stored. With the limit of the
/// transaction that follows, every sender is answered within 5 s.
const WAIT_LIMIT: Duration = Duration::from_millis(2500);
/// The maximum duration of a transaction, its commit included. A commit that was begun and is not confirmed
/// within this time is in doubt.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// The handle that takes changes. Clones share one queue.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    outcome: LastOutcome,
}

/// A queued change, with the receiver of its answer.
struct Job {
    change: Change,
    reply: Reply,
    /// The time when the change was queued.
    since: Instant,
}

/// The task that commits and publishes queued changes.
pub struct Worker {
    queue: mpsc::Receiver<Job>,
    pub(super) database: Database,
    /// Stores a change that arrives alone.
    pub(super) single: SingleSender,
    pub(super) hub: Hub,
    pub(super) metrics: WriterMetrics,
    stop: CancellationToken,
    /// Chats with a row lock that another node held at the last attempt.
    pub(super) blocked: HashSet<ChatId>,
    /// Whether the database stored the last change, for the readiness check.
    pub(super) outcome: LastOutcome,
}

impl Writer {
    /// Creates the handle, and the worker that empties the queue. After `stop` the worker takes no new
    /// changes, finishes the queued ones and ends.
    #[must_use]
    pub fn new(
        database: Database,
        hub: Hub,
        metrics: WriterMetrics,
        stop: CancellationToken,
    ) -> (Self, Worker) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let outcome = LastOutcome::default();
        let worker = Worker {
            queue,
            single: SingleSender::new(&database),
            database,
            hub,
            metrics,
            stop,
            blocked: HashSet::new(),
            outcome: outcome.clone(),
        };
        let queue = sender;
        (Self { queue, outcome }, worker)
    }

    /// The number of queued changes, and the capacity of the queue.
    #[must_use]
    pub fn queue(&self) -> (usize, usize) {
        (QUEUE - self.queue.capacity(), QUEUE)
    }

    /// Whether the database stored the last change. Read by the readiness check.
    pub(crate) fn last_outcome(&self) -> &LastOutcome {
        &self.outcome
    }

    /// Queues a change for the worker.
    ///
    /// # Errors
    /// `unavailable` if the queue is full or the server is stopping; nothing is stored then.
    pub fn submit(&self, change: Change) -> Result<Pending, Error> {
        let (reply, pending) = Reply::to_task();
        self.enqueue(change, || reply)?;
        Ok(pending)
    }

    /// Returns a change that is queued by a method of the submission.
    pub(crate) fn prepare(&self, change: Change) -> Submission<'_> {
        Submission {
            writer: self,
            change,
        }
    }

    /// Queues a change. `reply` is called once the change has a place in the queue.
    pub(super) fn enqueue(
        &self,
        change: Change,
        reply: impl FnOnce() -> Reply,
    ) -> Result<(), Error> {
        let place = self.queue.try_reserve();
        let place = place.map_err(|_| Error::unavailable())?;
        place.send(Job {
            change,
            reply: reply(),
            since: Instant::now(),
        });
        Ok(())
    }
}

impl Worker {
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
            match batchable_prefix(jobs.iter().map(|job| &job.change)) {
                0 if jobs.is_empty() => {}
                0 => {
                    let job = jobs.remove(0);
                    let outcome = self.exclusive(&job.change).await;
                    answer(job, outcome);
                }
                shared => {
                    let shared = jobs.drain(..shared).collect();
                    self.commit_jobs(shared).await;
                }
            }
        }
    }

    /// Commits the changes of jobs in one transaction and answers their senders. If another node holds the lock
    /// of one of the chats, the unlocked chats are committed first.
    async fn commit_jobs(&mut self, jobs: Vec<Job>) {
        let (changes, replies): (Vec<Change>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, (job.reply, job.since)))
            .unzip();
        let begin = Instant::now();
        let answers = match self.has_blocked_chat(&changes) {
            true => self.commit_unlocked_first(&changes).await,
            false => match self.commit(&changes, LockWait::Default).await {
                Ok(answers) => answers,
                Err(CommitError::NotCommitted(error)) if error.is_locked() => {
                    self.commit_unlocked_first(&changes).await
                }
                Err(error) => self.retry_or_refuse(&changes, error).await,
            },
        };
        self.metrics.batch.observe(changes.len() as f64);
        self.metrics.commit.observe(begin.elapsed().as_secs_f64());
        let mut acknowledged = Vec::new();
        for ((reply, since), answer) in replies.into_iter().zip(answers) {
            if let Ok(Outcome::Message(_)) = answer {
                self.metrics
                    .publication
                    .observe(since.elapsed().as_secs_f64());
            }
            acknowledged.extend(reply.send(answer));
        }
        // Written once all acks are queued: one system call for the acks of a socket.
        for send_queue in acknowledged {
            send_queue.write_out();
        }
    }
}

/// The number of changes, counted from the first, that can share a transaction. Three things end the batch:
/// an exclusive change; an edit of a user's latest message behind another change of its chat, because the
/// edit must see the committed change; and more than `BATCH_BYTES` of text. 0 means that the first change is
/// exclusive, or that there are no changes.
fn batchable_prefix<'a>(changes: impl Iterator<Item = &'a Change>) -> usize {
    let (mut chats, mut bytes) = (HashSet::new(), 0);
    changes
        .take_while(|change| {
            bytes += change.bytes();
            if bytes > BATCH_BYTES && !chats.is_empty() {
                return false;
            }
            let Some(chat) = change.chat() else {
                return false;
            };
            let new = chats.insert(chat);
            let latest = matches!(
                change,
                Change::Edit {
                    which: MessageRef::LatestOf(_),
                    ..
                }
            );
            new || !latest
        })
        .count()
}

fn answer(job: Job, answer: Result<Outcome, Error>) {
    if let Some(send_queue) = job.reply.send(answer) {
        send_queue.write_out();
    }
}

/// The time and the result of the last attempt to store a change: true if the database stored it. Null before
/// the first attempt. Clones share one value.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastOutcome(Arc<Mutex<Option<(Instant, bool)>>>);

impl LastOutcome {
    /// Records whether the database works. A change that the rules refuse says nothing about the database.
    pub(super) fn note(&self, stored: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), stored));
    }

    /// The result of the last attempt, if it is more recent than `period`. Null otherwise.
    pub(crate) fn within(&self, period: Duration) -> Option<bool> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, stored) = last?;
        (at.elapsed() < period).then_some(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Caller,
        model::{Content, NewMessage, UserId},
    };

    const ME: UserId = UserId(1);

    fn content(bytes: usize) -> Content {
        let Ok(content) = Content::parse("x".repeat(bytes)) else {
            panic!("no content of {bytes} bytes")
        };
        content
    }

    fn send(chat: i64, bytes: usize) -> Change {
        Change::Send {
            caller: Caller::Open,
            message: NewMessage {
                author: ME,
                chat: ChatId(chat),
                content: content(bytes),
                client_message_id: None,
                reply_to: None,
            },
        }
    }

    fn edit_latest(chat: i64) -> Change {
        Change::Edit {
            caller: Caller::Open,
            actor: Some(ME),
            chat: ChatId(chat),
            which: MessageRef::LatestOf(ME),
            content: content(1),
        }
    }

    fn exclusive() -> Change {
        Change::DeleteChat {
            caller: Caller::Open,
            chat: ChatId(1),
        }
    }

    #[test]
    fn changes_share_a_transaction_until_one_must_wait() {
        for (case, changes, expected) in [
            ("nothing", vec![], 0),
            ("an exclusive change", vec![exclusive(), send(1, 1)], 0),
            ("two chats", vec![send(1, 1), send(2, 1), exclusive()], 2),
            (
                "an edit of the latest message",
                vec![edit_latest(1), send(1, 1)],
                2,
            ),
            (
                "it behind a change of its chat",
                vec![send(1, 1), edit_latest(1)],
                1,
            ),
            (
                "it behind one of another chat",
                vec![send(2, 1), edit_latest(1)],
                2,
            ),
        ] {
            assert_eq!(batchable_prefix(changes.iter()), expected, "{case}");
        }
    }

    #[test]
    fn a_transaction_has_at_most_the_limit_of_text() {
        let longest = 16 * 1024;
        let fitting = BATCH_BYTES / longest;
        let changes: Vec<Change> = (0..fitting + 1).map(|_| send(1, longest)).collect();
        assert_eq!(batchable_prefix(changes.iter()), fitting);
    }
}
