//! The way of a change into the queue of the writer, and the way of its answer back.

use super::{AckBuilder, AnswerQueue, Change, Outcome, Writer, answer_queue::AnswerPlace};
use crate::{error::Error, protocol::RequestId, send_queue::SendQueue};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The receiver of the answer to a change.
pub(super) enum Reply {
    /// A task that waits.
    Task(oneshot::Sender<Result<Outcome, Error>>),
    /// A socket, which is sent the ack without its task.
    Socket(AnswerPlace),
}

/// A change that its service has checked, to be queued for the worker.
pub struct Submission<'a> {
    pub(super) writer: &'a Writer,
    pub(super) change: Change,
}

/// The pending answer to a submitted change. The answer comes within 5 s.
pub struct Pending(oneshot::Receiver<Result<Outcome, Error>>);

impl Submission<'_> {
    /// Queues the change for a task that waits for the answer.
    ///
    /// # Errors
    /// `unavailable` if the queue is full or the server is stopping; nothing is stored then.
    pub fn submit(self) -> Result<Pending, Error> {
        self.writer.submit(self.change)
    }

    /// Queues the change for a socket. A client that sent an `id` gets the ack.
    ///
    /// # Errors
    /// `unavailable` if the queue is full or the server is stopping; nothing is stored then.
    pub fn submit_for(
        self,
        answers: &AnswerQueue,
        id: Option<RequestId>,
        ack: AckBuilder,
    ) -> Result<(), Error> {
        let place = || Reply::Socket(answers.add(id, ack));
        self.writer.enqueue(self.change, place)
    }
}

impl Reply {
    /// Creates a reply to a task, and the answer that the task waits for.
    pub(super) fn to_task() -> (Self, Pending) {
        let (sender, answer) = oneshot::channel();
        (Self::Task(sender), Pending(answer))
    }

    /// Answers. Returns the send queue that got an ack, which must be written out.
    pub(super) fn send(self, answer: Result<Outcome, Error>) -> Option<Arc<SendQueue>> {
        match self {
            Self::Task(sender) => {
                // The task may have stopped waiting; the answer is then dropped.
                let _ = sender.send(answer);
                None
            }
            Self::Socket(place) => place.answer(answer),
        }
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
