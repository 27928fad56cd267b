//! Stores a single message in one round trip to Postgres. A batch takes about six round trips, shared by its
//! messages; a single message would wait for all six. SQLite runs in this process and has no round trips, so
//! a batch of one is as fast there.

use super::{message_log::NewMessage, row::from_row};
use crate::{
    database::Database,
    error::{Error, is_not_committed},
    model::{ChatId, ClientMessageId, Content, Message, MessageId, Seq, Timestamp, UserId},
};
use sqlx::query_as;

/// A single message to send.
pub struct SingleMessage<'a> {
    /// Chat that the message is sent to.
    pub chat: ChatId,
    /// Author of the message.
    pub author: UserId,
    /// Text of the message.
    pub content: &'a Content,
    /// Client message id, the idempotency key of the send; null if the sender chose none.
    pub key: Option<&'a ClientMessageId>,
    /// True if the author must be a member of the chat.
    pub members_only: bool,
}

/// Values that the database assigns to a stored message, and the author's name.
struct AssignedValues {
    message_id: MessageId,
    seq: Seq,
    username: String,
}

from_row!(AssignedValues {
    message_id,
    seq,
    username
});

/// Outcome of a single send.
pub enum SendAttempt {
    /// The message is stored.
    Sent(Box<Message>),
    /// Nothing was stored: a precondition failed or the database is SQLite. The caller falls back to a batch,
    /// which finds the exact reason.
    Declined,
    /// Nothing was stored, because the database failed. A batch would fail too.
    NotCommitted(Error),
    /// In-doubt commit: the message may or may not be stored.
    InDoubt(Error),
}

/// Stores one message in one statement. Locks the chat row first, like every writer, so that ids and seqs are
/// assigned in commit order. Reads the membership after the lock, so that a concurrent removal that the
/// statement waited for is seen.
pub(super) async fn send(
    database: &Database,
    new: &SingleMessage<'_>,
    now: Timestamp,
) -> SendAttempt {
    const SQL: &str = "WITH locked AS MATERIALIZED ( \
            SELECT chat_id FROM chat WHERE chat_id = $1 AND deleted_at IS NULL \
            FOR NO KEY UPDATE), \
        member AS MATERIALIZED (SELECT m.chat_id FROM locked JOIN customer_chat m \
            ON m.chat_id = locked.chat_id AND m.customer_id = $2 FOR KEY SHARE OF m), \
        head AS ( \
            UPDATE chat SET seq = seq + 1 WHERE chat_id = $1 AND deleted_at IS NULL \
            AND EXISTS (SELECT FROM customer WHERE customer_id = $2) \
            AND (NOT $3 OR EXISTS (SELECT FROM member)) \
            AND NOT EXISTS (SELECT FROM message WHERE chat_id = $1 AND customer_id = $2 \
                AND client_message_id = $4) \
            RETURNING seq) \
        INSERT INTO message (chat_id, customer_id, content, sent_at, seq, sent_seq, \
            client_message_id) \
        SELECT $1, $2, $5, $6, head.seq, head.seq, $4 FROM head \
        RETURNING message_id, seq, \
            (SELECT username FROM customer WHERE customer_id = $2) AS username";
    let Database::Postgres(pool) = database else {
        return SendAttempt::Declined;
    };
    let mut connection = match pool.acquire().await {
        Ok(connection) => connection,
        Err(error) => return SendAttempt::NotCommitted(error.into()),
    };
    let stored = query_as(SQL)
        .bind(new.chat)
        .bind(new.author)
        .bind(new.members_only)
        .bind(new.key.map(ClientMessageId::as_str))
        .bind(new.content.as_str())
        .bind(now.get())
        .fetch_all(&mut connection)
        .await;
    match stored {
        Ok(mut rows) => (rows.pop()).map_or(SendAttempt::Declined, |given| new.sent(given, now)),
        // A constraint failed: a concurrent send used this idempotency key, or the author was deleted.
        Err(sqlx::Error::Database(e)) if e.constraint().is_some() => SendAttempt::Declined,
        // The statement commits itself. Its error leaves the commit in doubt, unless the database reports for
        // certain that nothing was committed.
        Err(error) if is_not_committed(&error) => SendAttempt::NotCommitted(error.into()),
        Err(error) => SendAttempt::InDoubt(error.into()),
    }
}

impl SingleMessage<'_> {
    /// Returns the outcome for a stored message.
    fn sent(&self, given: AssignedValues, at: Timestamp) -> SendAttempt {
        let stored = NewMessage {
            chat: self.chat,
            author: self.author,
            content: self.content.clone(),
            seq: given.seq,
            reply_to: None,
            key: self.key.cloned(),
        };
        SendAttempt::Sent(Box::new(stored.stored(
            given.message_id,
            Some(given.username),
            at,
        )))
    }
}
