//! Questions of many, put to the database together: after a restart every socket comes back in the
//! same second, and one statement for hundreds of them costs little more than one for one of them.
//! Who asks alone does not wait: a batch is whatever has come while the last one was answered.

use crate::error::Error;
use std::{future::Future, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

/// Questions that may wait; whoever comes then waits for room.
const QUEUE: usize = 1024;
/// Most questions that are asked together.
const BATCH: usize = 500;
/// How long the database may take for them.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long somebody waits in all: behind tens of thousands of others, where it must.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Where questions are handed in. Cloning shares the queue.
pub(super) struct Together<Q, A> {
    queue: mpsc::Sender<Asked<Q, A>>,
}

/// A question, and the place for its answer.
type Asked<Q, A> = (Q, oneshot::Sender<A>);

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        Self { queue }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// A queue, and the work of emptying it by `answer`, which gives an answer to each question in
    /// their order. It ends with the last clone of the handle.
    pub(super) fn new<F, Fut>(answer: F) -> (Self, impl Future<Output = ()> + Send + 'static)
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, work(waiting, answer))
    }

    /// Whether nobody answers any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// The answer, found after this was called.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub(super) async fn ask(&self, question: Q) -> Result<A, Error> {
        let asking = async {
            let (reply, answer) = oneshot::channel();
            self.queue.send((question, reply)).await.ok()?;
            answer.await.ok()
        };
        let answered = time::timeout(WAIT_LIMIT, asking).await;
        answered.ok().flatten().ok_or_else(Error::unavailable)
    }
}

async fn work<Q, A, F, Fut>(mut waiting: mpsc::Receiver<Asked<Q, A>>, answer: F)
where
    F: Fn(Vec<Q>) -> Fut,
    Fut: Future<Output = Result<Vec<A>, Error>>,
{
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (questions, replies): (Vec<Q>, Vec<oneshot::Sender<A>>) = batch.drain(..).unzip();
        let answered = time::timeout(ANSWER_LIMIT, answer(questions)).await;
        match answered.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Whoever asked may be gone.
                    let _ = reply.send(answer);
                }
            }
            // Without their replies, those who asked hear `unavailable`.
            Err(error) => error.log(),
        }
    }
}
