//! The one road of every change to the log: a bounded queue, and a worker that commits what is
//! waiting in one transaction, publishes it in order, then answers. Alone, a change waits for
//! nobody; under load, many share a commit. Nothing is seen before it is committed.

use super::worker::Worker;
use crate::{
    error::Error,
    hub::Hub,
    metrics::WriterMetrics,
    repository::{LockedChatRepository, MessageLogRepository},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Change, Outcome};

/// Changes that may wait. At some ten thousand a second this is under half a second of work; a
/// sender that finds it full hears `unavailable` at once instead of waiting.
const QUEUE: usize = 4096;
/// Most changes in one transaction: far enough that the commit's cost is shared out, near enough
/// that a batch takes milliseconds.
pub(crate) const BATCH: usize = 512;
/// Most bytes of text in one transaction, but for its first change. What is committed together is
/// told together, and a chat keeps the last 32 of those for whoever reads slowly: with this some 32
/// MiB of text for the busiest chat, where 512 of the longest messages each would be 256.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;
/// A change that waited longer is refused unstored: with the limit of the transaction behind it,
/// every sender is answered within 5 s.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_millis(2500);
/// How long a transaction may take before its outcome counts as unknown.
pub(crate) const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// Where changes are handed in. Cloning shares the queue.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    outcome: LastOutcome,
}

/// A change on its way, with the place for its answer.
pub(crate) struct Job {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Outcome, Error>>,
    pub(super) since: Instant,
}

/// The answer to a change that was handed in: it comes within 5 s.
pub struct Pending(oneshot::Receiver<Result<Outcome, Error>>);

impl Writer {
    /// A queue and the worker that empties it until `stop`, and then what is left in it.
    #[must_use]
    pub fn new(
        log: MessageLogRepository,
        locked_chats: LockedChatRepository,
        hub: Hub,
        metrics: WriterMetrics,
        stop: CancellationToken,
    ) -> (Self, Worker) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let worker = Worker::new(waiting, log, locked_chats, (hub, metrics), stop);
        let outcome = worker.outcome.clone();
        (Self { queue, outcome }, worker)
    }

    /// How many changes wait, and how many may.
    #[must_use]
    pub fn queue(&self) -> (usize, usize) {
        (QUEUE - self.queue.capacity(), QUEUE)
    }

    /// What became of the last change that was to be stored.
    pub(crate) fn last_outcome(&self) -> &LastOutcome {
        &self.outcome
    }

    /// Hands a change in.
    ///
    /// # Errors
    /// `unavailable` where the queue is full or the server is stopping; nothing is stored then.
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
    /// Waits for the answer. May be dropped and called again.
    ///
    /// # Errors
    /// Why the change was refused; `unavailable` where it could not be stored.
    pub async fn answer(&mut self) -> Result<Outcome, Error> {
        (&mut self.0)
            .await
            .unwrap_or_else(|_| Err(Error::in_doubt()))
    }
}

/// When the last change was stored or was not, and which. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastOutcome(Arc<Mutex<Option<(Instant, bool)>>>);

impl LastOutcome {
    /// Notes whether the store took a change, which is not whether the change was allowed.
    pub(super) fn note(&self, stored: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), stored));
    }

    /// The outcome, where it is no older than this.
    pub(crate) fn within(&self, period: Duration) -> Option<bool> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, stored) = last?;
        (at.elapsed() < period).then_some(stored)
    }
}
