//! Questions of many, put to the database together: after a restart every socket comes back in the
//! same second, and one statement for hundreds of them costs little more than one for one of them.
//! Who asks alone does not wait: a batch is whatever has come while the last one was answered.

use crate::error::{Code, Error, catch_panic};
use std::{
    future::Future,
    time::{Duration, Instant},
};
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
/// How long questions that failed together are put one by one: the rest hears `unavailable`.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);
/// How long somebody waits in all: behind tens of thousands of others, where it must.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Where questions are handed in. Cloning shares the queue.
pub(crate) struct Batcher<Q, A> {
    queue: mpsc::Sender<Query<Q, A>>,
}

/// A question, and the place for its answer.
type Query<Q, A> = (Q, oneshot::Sender<Result<A, Error>>);

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        Self { queue }
    }
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Batcher<Q, A> {
    /// A queue, and the work of emptying it by `answer`, which gives an answer to each question in
    /// their order. It ends with the last clone of the handle.
    pub(crate) fn new<F, Fut>(answer: F) -> (Self, impl Future<Output = ()> + Send + 'static)
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, work(waiting, answer))
    }

    /// The answer, found after this was called.
    ///
    /// # Errors
    /// `unavailable` where the store is; `internal` where this very question cannot be answered.
    pub(crate) async fn ask(&self, question: Q) -> Result<A, Error> {
        let asking = async {
            let (reply, answer) = oneshot::channel();
            self.queue.send((question, reply)).await.ok()?;
            answer.await.ok()
        };
        let answered = time::timeout(WAIT_LIMIT, asking).await;
        answered
            .ok()
            .flatten()
            .unwrap_or_else(|| Err(Error::unavailable()))
    }
}

async fn work<Q, A, F, Fut>(mut waiting: mpsc::Receiver<Query<Q, A>>, answer: F)
where
    Q: Clone,
    F: Fn(Vec<Q>) -> Fut,
    Fut: Future<Output = Result<Vec<A>, Error>>,
{
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (questions, replies): (Vec<Q>, Vec<_>) = batch.drain(..).unzip();
        match answered(answer(questions.clone())).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Whoever asked may be gone.
                    let _ = reply.send(Ok(answer));
                }
            }
            // One of them is at fault, a row that cannot be read for one: it fails alone.
            Err(error) if error.code() == Code::Internal => {
                error.log();
                let until = Instant::now() + ONE_BY_ONE_LIMIT;
                for (question, reply) in questions.into_iter().zip(replies) {
                    if Instant::now() < until {
                        let answers = answered(answer(vec![question])).await;
                        let answer = answers
                            .and_then(|mut answers| answers.pop().ok_or_else(Error::unavailable));
                        let _ = reply.send(answer);
                    }
                }
            }
            // Without their replies, those who asked hear `unavailable`.
            Err(error) => error.log(),
        }
    }
}

/// The answers of the database, in time.
async fn answered<A>(
    answering: impl Future<Output = Result<Vec<A>, Error>>,
) -> Result<Vec<A>, Error> {
    let answered = time::timeout(ANSWER_LIMIT, catch_panic(answering)).await;
    answered.unwrap_or_else(|_| Err(Error::unavailable()))
}
