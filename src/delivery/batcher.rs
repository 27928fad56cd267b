//! A batcher of database queries (the DataLoader pattern). After a restart all sockets reconnect within a
//! second, and one statement for hundreds of sockets costs little more than a statement for one. There is no
//! timer: a batch holds the queries that arrived while the batch before it was answered, so that a single
//! query is never delayed. Connecting sockets query their memberships through it (`membership.rs`).

use crate::error::{Code, Error, catch_panic, within};
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

/// The capacity of the queue, in queries. If the queue is full, callers wait for room.
const QUEUE: usize = 1024;
/// The maximum number of queries in a batch.
const BATCH: usize = 500;
/// The time that the database has to answer a batch.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the queries of a failed batch are retried one by one. The rest is answered `unavailable`.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);
/// The total wait of a caller, queue included. Long enough for a place behind tens of thousands of queries.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// The handle that takes queries. Clones share one queue.
pub(crate) struct Batcher<Q, A> {
    queue: mpsc::Sender<Query<Q, A>>,
}

/// A query, and the sender of its answer.
type Query<Q, A> = (Q, oneshot::Sender<Result<A, Error>>);

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        Self { queue }
    }
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Batcher<Q, A> {
    /// Creates the handle, and the task that empties the queue. `answer` answers a batch: one answer per
    /// query, in the order of the queries. The task ends when the last clone of the handle is dropped.
    pub(crate) fn new<F, Fut>(answer: F) -> (Self, impl Future<Output = ()> + Send + 'static)
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, work(waiting, answer))
    }

    /// The answer to a query. The database is read after this call, never before it.
    ///
    /// # Errors
    /// `unavailable` if the database is, or if no answer comes within `WAIT_LIMIT`; `internal` if this query,
    /// on its own, cannot be answered.
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

/// Empties the queue, a batch at a time, until the last handle is dropped.
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
                    // The caller may have given up; its answer is then dropped.
                    let _ = reply.send(Ok(answer));
                }
            }
            // One query may be at fault, for example by a row that cannot be decoded. Retried one by one, it
            // does not fail the rest of the batch.
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
            // The senders of the answers are dropped, which answers every caller `unavailable`.
            Err(error) => error.log(),
        }
    }
}

/// Runs a batch within `ANSWER_LIMIT`. `unavailable` after that, `internal` if it panics.
async fn answered<A>(
    answering: impl Future<Output = Result<Vec<A>, Error>>,
) -> Result<Vec<A>, Error> {
    within(ANSWER_LIMIT, catch_panic(answering)).await
}
