//! Stores a single message in one round trip to Postgres. A batch takes about six round trips, shared by its
//! messages; a single message would wait for all six. SQLite runs in this process and has no round trips, so
//! a batch of one is as fast there.

use super::row::from_row;
use crate::{
    database::Database,
    error::{Error, is_not_committed},
    model::{ClientMessageId, Message, MessageId, NewMessage, Seq, Timestamp},
};
use sqlx::query_as;

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

impl AssignedValues {
    /// Returns the message as stored with these values.
    fn message(self, new: NewMessage, sent_at: Timestamp) -> Message {
        new.stored((self.message_id, self.seq), Some(self.username), sent_at)
    }
}

/// Failure of a transaction, or of a statement that commits itself.
pub enum CommitError {
    /// Nothing was stored.
    NotCommitted(Error),
    /// In-doubt commit: the changes may or may not be stored.
    InDoubt(Error),
}

/// Stores one message. Locks the chat row first, like every writer, so that ids and seqs are assigned in commit
/// order. The chat keeps the id as that of its latest message. Reads the membership after the lock, so that a concurrent removal that the statement waited for is
/// seen.
const SEND: &str = "WITH locked AS MATERIALIZED ( \
        SELECT chat_id FROM chat WHERE chat_id = $1 AND deleted_at IS NULL \
        FOR NO KEY UPDATE), \
    member AS MATERIALIZED (SELECT m.chat_id FROM locked JOIN customer_chat m \
        ON m.chat_id = locked.chat_id AND m.customer_id = $2 FOR KEY SHARE OF m), \
    head AS ( \
        UPDATE chat SET seq = seq + 1, last_message_seq = seq + 1, \
            last_message_id = nextval(pg_get_serial_sequence('message', 'message_id')) \
        WHERE chat_id = $1 AND deleted_at IS NULL \
        AND EXISTS (SELECT FROM customer WHERE customer_id = $2) \
        AND (NOT $3 OR EXISTS (SELECT FROM member)) \
        AND NOT EXISTS (SELECT FROM message WHERE chat_id = $1 AND customer_id = $2 \
            AND client_message_id = $4) \
        RETURNING last_message_id, seq) \
    INSERT INTO message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, \
        client_message_id) OVERRIDING SYSTEM VALUE \
    SELECT head.last_message_id, $1, $2, $5, $6, head.seq, head.seq, $4 FROM head \
    RETURNING message_id, seq, \
        (SELECT username FROM customer WHERE customer_id = $2) AS username";

/// Stores one message in one statement. With `members_only`, the author must be a member of the chat. Null if
/// nothing was stored because a precondition failed, the message is a reply, or the database is SQLite. The
/// caller then falls back to a batch, which finds the exact reason.
///
/// # Errors
/// The database failed; a batch would fail too.
pub(super) async fn send(
    database: &Database,
    new: &NewMessage,
    members_only: bool,
    now: Timestamp,
) -> Result<Option<Box<Message>>, CommitError> {
    let (Database::Postgres(pool), None) = (database, new.reply_to) else {
        return Ok(None);
    };
    let acquired = pool.acquire().await;
    let mut connection = acquired.map_err(|e| CommitError::NotCommitted(e.into()))?;
    let stored: sqlx::Result<Vec<AssignedValues>> = query_as(SEND)
        .bind(new.chat)
        .bind(new.author)
        .bind(members_only)
        .bind(new.client_message_id.as_ref().map(ClientMessageId::as_str))
        .bind(new.content.as_str())
        .bind(now.get())
        .fetch_all(&mut connection)
        .await;
    match stored {
        Ok(mut rows) => Ok(rows
            .pop()
            .map(|assigned| Box::new(assigned.message(new.clone(), now)))),
        // A constraint failed: a concurrent send used this idempotency key, or the author was deleted.
        Err(sqlx::Error::Database(e)) if e.constraint().is_some() => Ok(None),
        // The statement commits itself. Its error leaves the commit in doubt, unless the database reports for
        // certain that nothing was committed.
        Err(error) if is_not_committed(&error) => Err(CommitError::NotCommitted(error.into())),
        Err(error) => Err(CommitError::InDoubt(error.into())),
    }
}
