//! Read receipts: each member's read position in a chat. Many clients send a receipt for every message
//! shown, so the receipts are batched and the commits are limited to ten a second. Thus receipts do not
//! slow down the sending of messages.

use crate::{
    auth::Caller,
    database::Database,
    delivery::{MembershipLoader, missing},
    error::{Code, Error, catch_panic},
    hub::Hub,
    model::{ChatId, MessageId, UserId},
    protocol::Frame,
    repository::{MovedPosition, ReadMark},
};
use std::{collections::HashMap, future::Future, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

/// The most receipts waiting, and the most written in one batch.
const QUEUE: usize = 1024;
/// The shortest time between the starts of two writes. Receipts that arrive meanwhile wait for the next
/// batch. At ten commits a second, receipts take little of the database's commit rate from messages.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest time for one database write of receipts, with the reads that follow.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// The longest time in which the receipts of a failed batch are written individually.
const ONE_BY_ONE_LIMIT: Duration = Duration::from_millis(500);
/// The most `read` frames sent to a chat for one write. If a thousand members of a chat read each message
/// at once, one message would otherwise cost a million frames.
const FRAMES_PER_WRITE: usize = 16;

/// The rules about read positions. Clones share the queue.
#[derive(Clone)]
pub struct ReadReceiptService {
    queue: mpsc::Sender<QueuedReceipt>,
    memberships: MembershipLoader,
}

/// A queued receipt, and the channel for its answer.
struct QueuedReceipt {
    mark: ReadMark,
    reply: oneshot::Sender<Result<MessageId, Error>>,
}

/// The answer to a queued receipt. The answer arrives within seconds.
pub struct PendingReceipt(oneshot::Receiver<Result<MessageId, Error>>);

impl ReadReceiptService {
    /// Returns the service and the worker that writes receipts. The worker ends when the last clone of the
    /// service is dropped.
    pub fn new(
        database: Database,
        memberships: MembershipLoader,
        hub: Hub,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue, memberships }, work(waiting, database, hub))
    }

    /// Queues a receipt: the member has read up to this message.
    ///
    /// # Errors
    /// `unavailable` if the queue is full or the worker has ended; further errors come with the answer.
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
        let job = QueuedReceipt { mark, reply };
        self.queue.try_send(job).map_err(|_| not_stored())?;
        Ok(PendingReceipt(answer))
    }

    /// Queues a receipt and waits for the answer: the user's read position afterwards. The user may turn
    /// out not to be a member, in contrast to `mark` on a joined socket.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`, `member_not_found`, `message_not_found`, `unavailable`. A
    /// stranger gets `chat_not_found` if membership is required.
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
                let standing = self.memberships.ask(user, chat).await?;
                Err(missing(standing, user, chat))
            }
            answer => answer,
        }
    }
}

impl PendingReceipt {
    /// Waits for the member's read position after the write. Cancel safe: may be dropped and called again.
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

/// Writes the queued receipts in batches, until the service is dropped.
async fn work(mut waiting: mpsc::Receiver<QueuedReceipt>, database: Database, hub: Hub) {
    let mut jobs = Vec::new();
    while waiting.recv_many(&mut jobs, QUEUE).await > 0 {
        let next = Instant::now() + PAUSE;
        let marks: Vec<ReadMark> = jobs.iter().map(|job| job.mark).collect();
        let answers = match in_time(&marks, &database, &hub).await {
            Ok(answers) => answers,
            // One receipt caused the error. Writing each receipt individually confines the error to it.
            Err(error) if error.code() == Code::Internal && marks.len() > 1 => {
                error.log();
                one_by_one(&marks, &database, &hub).await
            }
            Err(error) => {
                error.log();
                marks.iter().map(|_| Err(not_stored())).collect()
            }
        };
        for (job, answer) in jobs.drain(..).zip(answers) {
            // The requester may have disconnected.
            let _ = job.reply.send(answer);
        }
        time::sleep_until(next).await;
    }
}

/// Writes each receipt individually. Receipts not reached within `ONE_BY_ONE_LIMIT` get `unavailable`.
async fn one_by_one(
    marks: &[ReadMark],
    database: &Database,
    hub: &Hub,
) -> Vec<Result<MessageId, Error>> {
    let until = Instant::now() + ONE_BY_ONE_LIMIT;
    let mut answers = Vec::with_capacity(marks.len());
    for mark in marks {
        let one = std::slice::from_ref(mark);
        let answer = match Instant::now() < until {
            true => in_time(one, database, hub).await,
            false => Err(not_stored()),
        };
        let answer = answer.and_then(|mut answers| answers.pop().unwrap_or(Err(not_stored())));
        answers.push(answer);
    }
    answers
}

/// Writes the receipts within `WRITE_LIMIT`. A panic becomes an error, so that it does not end the worker.
async fn in_time(
    marks: &[ReadMark],
    database: &Database,
    hub: &Hub,
) -> Result<Vec<Result<MessageId, Error>>, Error> {
    let writing = catch_panic(write(marks, database, hub));
    let written = time::timeout(WRITE_LIMIT, writing).await;
    written.unwrap_or_else(|_| Err(not_stored()))
}

/// Writes the receipts, broadcasts the positions that moved, then reads every position for the answers.
async fn write(
    marks: &[ReadMark],
    database: &Database,
    hub: &Hub,
) -> Result<Vec<Result<MessageId, Error>>, Error> {
    let positions = database.read_positions();
    for MovedPosition {
        customer_id,
        chat_id,
        message_id,
    } in limit_frames(positions.advance(marks).await?)
    {
        hub.publish_ephemeral(chat_id, Frame::read(chat_id, customer_id, message_id));
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

/// Keeps the first `FRAMES_PER_WRITE` moves of each chat.
fn limit_frames(mut moves: Vec<MovedPosition>) -> Vec<MovedPosition> {
    let mut chats: HashMap<ChatId, usize> = HashMap::new();
    moves.retain(|moved| {
        let frames = chats.entry(moved.chat_id).or_default();
        *frames += 1;
        *frames <= FRAMES_PER_WRITE
    });
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_frames_of_a_chat_are_limited() {
        let moved = |chat, user| MovedPosition {
            customer_id: UserId(user),
            chat_id: ChatId(chat),
            message_id: MessageId(1),
        };
        let mut moves: Vec<MovedPosition> = (1..=1000).map(|user| moved(1, user)).collect();
        moves.push(moved(2, 1));
        let kept = limit_frames(moves);
        assert_eq!(kept.len(), FRAMES_PER_WRITE + 1);
        assert_eq!(kept.last().map(|moved| moved.chat_id), Some(ChatId(2)));
    }
}
