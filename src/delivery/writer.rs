//! The entry to the write path. Every change to the log passes a bounded queue to one worker (`worker.rs`),
//! which commits the waiting changes in one transaction, publishes them in order, then answers. An idle
//! worker commits a single change without delay; under load many changes share a commit. No change is
//! published before it is committed.

use super::worker::Worker;
use crate::{database::Database, error::Error, hub::Hub, metrics::WriterMetrics};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Change, Outcome};

/// The capacity of the queue, in changes. At some ten thousand changes a second this is under half a second
/// of work. A full queue is backpressure: the sender is answered `unavailable` at once instead of waiting.
const QUEUE: usize = 4096;
/// The maximum number of changes in a transaction: large enough to share the cost of a commit, small enough
/// that a batch takes milliseconds.
pub(crate) const BATCH: usize = 512;
/// The maximum bytes of text in a transaction; the first change is exempt. Changes of a chat that are
/// committed in one transaction are published as one batch, and a chat's channel keeps the last 32 batches
/// for slow sockets. This limit makes that some 32 MiB of text for the busiest chat. Batches of 512 messages
/// of the maximum length would make it 256 MiB.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;
/// The maximum wait in the queue. After that a change is refused without being stored. With the limit of the
/// transaction that follows, every sender is answered within 5 s.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_millis(2500);
/// The maximum duration of a transaction, its commit included. A commit that was begun and is not confirmed
/// within this time is in doubt.
pub(crate) const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// The handle that takes changes. Clones share one queue.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    outcome: LastOutcome,
}

/// A queued change, with the sender of its answer.
pub(crate) struct Job {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Outcome, Error>>,
    /// The time when the change was queued.
    pub(super) since: Instant,
}

/// The pending answer to a submitted change. The answer comes within 5 s.
pub struct Pending(oneshot::Receiver<Result<Outcome, Error>>);

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
        let (queue, waiting) = mpsc::channel(QUEUE);
        let worker = Worker::new(waiting, database, hub, metrics, stop);
        let outcome = worker.outcome.clone();
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
        let (reply, answer) = oneshot::channel();
        let job = Job {
            change,
            reply,
            since: Instant::now(),
        };
        self.queue.try_send(job).map_err(|_| Error::unavailable())?;
        Ok(Pending(answer))
    }
}

impl Pending {
    /// Waits for the answer. Cancel safe: the call may be dropped and repeated until it has returned an
    /// answer.
    ///
    /// # Errors
    /// The reason of a refusal; `unavailable` if the change could not be stored, or if its commit is in
    /// doubt.
    pub async fn answer(&mut self) -> Result<Outcome, Error> {
        (&mut self.0)
            .await
            .unwrap_or_else(|_| Err(Error::in_doubt()))
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
