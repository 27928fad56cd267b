//! How users stand to chats, asked by many at once: after a restart every socket comes back in the
//! same second, and one question for hundreds of them costs the database little more than one for
//! one of them.

use crate::{
    error::Error,
    model::{ChatId, UserId},
    repository::{MemberRepository, Standing},
};
use std::{future::Future, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

/// Questions that may wait; whoever comes then waits for room.
const QUEUE: usize = 1024;
/// Most questions that are asked of the database together.
const BATCH: usize = 500;
/// How long the database may take for them.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How long a socket waits in all: behind tens of thousands of others, where it must.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Where questions are handed in. Cloning shares the queue.
#[derive(Clone)]
pub struct Standings {
    queue: mpsc::Sender<Question>,
}

struct Question {
    user: UserId,
    chat: ChatId,
    reply: oneshot::Sender<Standing>,
}

impl Standings {
    /// A queue, and the work of answering, which ends with the last clone of the handle.
    pub fn new(members: MemberRepository) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, answer(waiting, members))
    }

    /// Whether nobody answers any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// How the user stands to the chat, read after this was called.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn ask(&self, user: UserId, chat: ChatId) -> Result<Standing, Error> {
        let asking = async {
            let (reply, answer) = oneshot::channel();
            self.queue.send(Question { user, chat, reply }).await.ok()?;
            answer.await.ok()
        };
        let answered = time::timeout(WAIT_LIMIT, asking).await;
        answered.ok().flatten().ok_or_else(Error::unavailable)
    }
}

async fn answer(mut waiting: mpsc::Receiver<Question>, members: MemberRepository) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let pairs: Vec<(UserId, ChatId)> = batch.iter().map(|q| (q.user, q.chat)).collect();
        let read = time::timeout(READ_LIMIT, members.standings(&pairs)).await;
        match read.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(standings) => {
                for (question, standing) in batch.drain(..).zip(standings) {
                    // Whoever asked may be gone.
                    let _ = question.reply.send(standing);
                }
            }
            Err(error) => {
                error.log();
                batch.clear();
            }
        }
    }
}
