//! How far members have read. Many clients tell with every message that they show, so positions
//! are written together and not too often: reading must not slow down writing.

use crate::{
    auth::Caller,
    delivery::{MembershipLoader, missing},
    error::catch_panic,
    error::{Code, Error},
    hub::Hub,
    model::{ChatId, MessageId, UserId},
    protocol::Frame,
    repository::{MovedPosition, ReadMark, ReadPositionRepository},
};
use std::{collections::HashMap, future::Future, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

/// Marks that may wait, and most that are written together.
const QUEUE: usize = 1024;
/// From one write to the next at least: what comes meanwhile waits and is written together. Ten
/// commits a second at most are taken from those of messages.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the database may take for them.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// How long marks that failed together are written one by one.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);
/// Most `read` frames that a chat is sent for one write. In a chat of a thousand who all read along
/// each message would otherwise bring a million frames.
const TOLD_AT_ONCE: usize = 16;

/// The rules about read positions. Cloning shares the queue.
#[derive(Clone)]
pub struct ReadReceiptService {
    queue: mpsc::Sender<Job>,
    standings: MembershipLoader,
}

/// A mark on its way, with the place for its answer.
struct Job {
    mark: ReadMark,
    reply: oneshot::Sender<Result<MessageId, Error>>,
}

/// The answer to a mark that was handed in: it comes within seconds.
pub struct PendingReceipt(oneshot::Receiver<Result<MessageId, Error>>);

impl ReadReceiptService {
    /// A queue, and the work of writing, which ends with the last clone of the handle.
    pub fn new(
        positions: ReadPositionRepository,
        standings: MembershipLoader,
        hub: Hub,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue, standings }, work(waiting, positions, hub))
    }

    /// Hands in that a member has read up to a message.
    ///
    /// # Errors
    /// `unavailable` where the queue is full; the rest comes with the answer.
    pub fn mark(
        &self,
        user: UserId,
        chat: ChatId,
        message: MessageId,
    ) -> Result<PendingReceipt, Error> {
        let mark = ReadMark {
            user,
            chat,
            message,
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { mark, reply };
        self.queue.try_send(job).map_err(|_| not_stored())?;
        Ok(PendingReceipt(answer))
    }

    /// The same for whoever waits for the answer, and may be no member at all: how far they have
    /// read then; `user_not_found`, `chat_not_found`, `member_not_found`, `message_not_found`.
    pub async fn read(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        message: MessageId,
    ) -> Result<MessageId, Error> {
        match self.mark(user, chat, message)?.answer().await {
            Err(error) if error.code() == Code::MemberNotFound => {
                if caller.members_only() {
                    return Err(Error::chat_not_found(chat).masked());
                }
                let standing = self.standings.ask(user, chat).await?;
                Err(missing(standing, user, chat))
            }
            answer => answer,
        }
    }
}

impl PendingReceipt {
    /// Waits for how far the member has read now. May be dropped and called again.
    ///
    /// # Errors
    /// `member_not_found`, `message_not_found`, `unavailable`.
    pub async fn answer(&mut self) -> Result<MessageId, Error> {
        (&mut self.0).await.unwrap_or_else(|_| Err(not_stored()))
    }
}

fn not_stored() -> Error {
    let message = "The read position cannot be stored right now; it is safe to send it again";
    Error::new(Code::Unavailable, message)
}

async fn work(mut waiting: mpsc::Receiver<Job>, positions: ReadPositionRepository, hub: Hub) {
    let mut jobs = Vec::new();
    while waiting.recv_many(&mut jobs, QUEUE).await > 0 {
        let next = Instant::now() + PAUSE;
        let marks: Vec<ReadMark> = jobs.iter().map(|job| job.mark).collect();
        let answers = match in_time(&marks, &positions, &hub).await {
            Ok(answers) => answers,
            // One of them is at fault: it fails alone.
            Err(error) if error.code() == Code::Internal && marks.len() > 1 => {
                error.log();
                one_by_one(&marks, &positions, &hub).await
            }
            Err(error) => {
                error.log();
                marks.iter().map(|_| Err(not_stored())).collect()
            }
        };
        for (job, answer) in jobs.drain(..).zip(answers) {
            // Whoever asked may be gone.
            let _ = job.reply.send(answer);
        }
        time::sleep_until(next).await;
    }
}

/// Writes each by itself; those that are not reached in time are refused.
async fn one_by_one(
    marks: &[ReadMark],
    positions: &ReadPositionRepository,
    hub: &Hub,
) -> Vec<Result<MessageId, Error>> {
    let until = Instant::now() + ONE_BY_ONE_LIMIT;
    let mut answers = Vec::with_capacity(marks.len());
    for mark in marks {
        let one = std::slice::from_ref(mark);
        let answer = match Instant::now() < until {
            true => in_time(one, positions, hub).await,
            false => Err(not_stored()),
        };
        let answer = answer.and_then(|mut answers| answers.pop().unwrap_or(Err(not_stored())));
        answers.push(answer);
    }
    answers
}

async fn in_time(
    marks: &[ReadMark],
    positions: &ReadPositionRepository,
    hub: &Hub,
) -> Result<Vec<Result<MessageId, Error>>, Error> {
    let writing = catch_panic(write(marks, positions, hub));
    let written = time::timeout(WRITE_LIMIT, writing).await;
    written.unwrap_or_else(|_| Err(not_stored()))
}

/// Writes, tells the chats what moved, then looks how far everyone is.
async fn write(
    marks: &[ReadMark],
    positions: &ReadPositionRepository,
    hub: &Hub,
) -> Result<Vec<Result<MessageId, Error>>, Error> {
    for MovedPosition {
        customer_id,
        chat_id,
        message_id,
    } in told(positions.advance(marks).await?)
    {
        hub.pass(chat_id, Frame::read(chat_id, customer_id, message_id));
    }
    let found = positions.read(marks).await?;
    let answers = marks.iter().zip(found).map(|(mark, found)| {
        let member = found.member.is_some();
        match found.position.filter(|_| found.message.is_some()) {
            Some(position) => Ok(position),
            None if member => Err(Error::message_not_found(mark.message)),
            None => Err(Error::member_not_found(mark.user, mark.chat)),
        }
    });
    Ok(answers.collect())
}

/// The moves that their chats are told of.
fn told(mut moves: Vec<MovedPosition>) -> Vec<MovedPosition> {
    let mut chats: HashMap<ChatId, usize> = HashMap::new();
    moves.retain(|moved| {
        let told = chats.entry(moved.chat_id).or_default();
        *told += 1;
        *told <= TOLD_AT_ONCE
    });
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_told_of_so_many_moves_and_no_more() {
        let moved = |chat, user| MovedPosition {
            customer_id: UserId(user),
            chat_id: ChatId(chat),
            message_id: MessageId(1),
        };
        let mut moves: Vec<MovedPosition> = (1..=1000).map(|user| moved(1, user)).collect();
        moves.push(moved(2, 1));
        let told = told(moves);
        assert_eq!(told.len(), TOLD_AT_ONCE + 1);
        assert_eq!(told.last().map(|moved| moved.chat_id), Some(ChatId(2)));
    }
}
