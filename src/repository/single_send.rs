//! Stores a single message in one round trip to Postgres, or one hop to the thread of SQLite's writing
//! connection. A batch takes about six, shared by its messages; a single message would wait for all six.

use super::row::from_row;
use crate::{
    database::{Database, KeptConnection, SqliteDatabase},
    error::{Error, is_not_committed},
    model::{ClientMessageId, Message, MessageId, NewMessage, Seq, Timestamp},
};
use sqlx::query_as;
use std::sync::Arc;

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
/// order. The chat keeps the id as that of its latest message. Reads the membership after the lock, so that a
/// concurrent removal that the statement waited for is seen. Locks the author too, because no foreign key keeps the
/// author from being deleted before the commit.
const POSTGRES: &str = "WITH locked AS MATERIALIZED ( \
        SELECT chat_id FROM chat WHERE chat_id = $1 AND deleted_at IS NULL \
        FOR NO KEY UPDATE), \
    member AS MATERIALIZED (SELECT m.chat_id FROM locked JOIN customer_chat m \
        ON m.chat_id = locked.chat_id AND m.customer_id = $2 FOR KEY SHARE OF m), \
    author AS MATERIALIZED (SELECT u.username FROM locked JOIN customer u \
        ON u.customer_id = $2 FOR KEY SHARE OF u), \
    head AS ( \
        UPDATE chat SET seq = seq + 1, last_message_seq = seq + 1, \
            last_message_id = nextval(pg_get_serial_sequence('message', 'message_id')) \
        WHERE chat_id = $1 AND deleted_at IS NULL \
        AND EXISTS (SELECT FROM author) \
        AND (NOT $3 OR EXISTS (SELECT FROM member)) \
        AND NOT EXISTS (SELECT FROM message WHERE chat_id = $1 AND customer_id = $2 \
            AND client_message_id = $4) \
        RETURNING last_message_id, seq) \
    INSERT INTO message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, \
        client_message_id) OVERRIDING SYSTEM VALUE \
    SELECT head.last_message_id, $1, $2, $5, $6, head.seq, head.seq, $4 FROM head \
    RETURNING message_id, seq, (SELECT username FROM author) AS username";

/// One transaction, so that its COMMIT is checked. `changes()` is the number of rows of the statement before it:
/// 0 if a precondition failed. The last UPDATE keeps the message as the latest of its chat.
const SQLITE: &str = "BEGIN IMMEDIATE; \
    UPDATE chat SET seq = seq + 1 WHERE chat_id = $1 AND deleted_at IS NULL \
        AND EXISTS (SELECT 1 FROM customer WHERE customer_id = $2) \
        AND (NOT $3 OR EXISTS (SELECT 1 FROM customer_chat \
            WHERE customer_id = $2 AND chat_id = $1)) \
        AND NOT EXISTS (SELECT 1 FROM message WHERE chat_id = $1 AND customer_id = $2 \
            AND client_message_id = $4); \
    INSERT INTO message (chat_id, customer_id, content, sent_at, seq, sent_seq, client_message_id) \
        SELECT chat_id, $2, $5, $6, seq, seq, $4 FROM chat WHERE chat_id = $1 AND changes() = 1 \
        RETURNING message_id, seq, \
            (SELECT username FROM customer WHERE customer_id = $2) AS username; \
    UPDATE chat SET last_message_id = last_insert_rowid(), last_message_seq = seq \
        WHERE chat_id = $1 AND changes() = 1; \
    COMMIT";

/// Stores single messages, with a connection of its own on Postgres.
pub struct SingleSender {
    store: Store,
    /// True once the statement of the last message was handed to the database, so that it may be stored.
    sent: bool,
}

enum Store {
    Postgres(Box<KeptConnection>),
    Sqlite(Arc<SqliteDatabase>),
}

impl SingleSender {
    /// Sends to this database. Opens no connection yet.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        let store = match database {
            Database::Postgres(pool) => {
                Store::Postgres(Box::new(KeptConnection::new(pool.clone())))
            }
            Database::Sqlite(embedded) => Store::Sqlite(Arc::clone(embedded)),
        };
        Self { store, sent: false }
    }

    /// Returns the error of a `send` that was dropped before its end.
    #[must_use]
    pub fn interrupted(&self, error: Error) -> CommitError {
        match self.sent {
            true => CommitError::InDoubt(error),
            false => CommitError::NotCommitted(error),
        }
    }

    /// Stores one message. With `members_only`, the author must be a member of the chat. Null if nothing was
    /// stored because a precondition failed, or the message is a reply. The caller then falls back to a
    /// batch, which finds the exact reason.
    ///
    /// # Errors
    /// The database failed; a batch would fail too.
    pub async fn send(
        &mut self,
        new: &NewMessage,
        members_only: bool,
        now: Timestamp,
    ) -> Result<Option<Box<Message>>, CommitError> {
        self.sent = false;
        if new.reply_to.is_some() {
            return Ok(None);
        }
        let not_committed = |error: sqlx::Error| CommitError::NotCommitted(error.into());
        let key = new.client_message_id.as_ref().map(ClientMessageId::as_str);
        let stored: sqlx::Result<Vec<AssignedValues>> = match &mut self.store {
            Store::Postgres(kept) => {
                let mut connection = kept.take().await.map_err(not_committed)?;
                self.sent = true;
                let stored = query_as(POSTGRES)
                    .bind(new.chat)
                    .bind(new.author)
                    .bind(members_only)
                    .bind(key)
                    .bind(new.content.as_str())
                    .bind(now.get())
                    .fetch_all(connection.get())
                    .await;
                if stored.is_ok() {
                    connection.keep();
                }
                stored
            }
            Store::Sqlite(embedded) => {
                let mut script = embedded.script().await.map_err(not_committed)?;
                self.sent = true;
                let stored = query_as(SQLITE)
                    .bind(new.chat)
                    .bind(new.author)
                    .bind(members_only)
                    .bind(key)
                    .bind(new.content.as_str())
                    .bind(now.get())
                    .fetch_all(&mut *script)
                    .await;
                script.end(&stored);
                stored
            }
        };
        match stored {
            Ok(mut rows) => Ok(rows
                .pop()
                .map(|assigned| Box::new(assigned.message(new.clone(), now)))),
            // A constraint failed: a concurrent send used this idempotency key.
            Err(sqlx::Error::Database(e)) if e.constraint().is_some() => Ok(None),
            // The statement commits itself. Its error leaves the commit in doubt, unless the database reports
            // for certain that nothing was committed.
            Err(error) if is_not_committed(&error) => Err(CommitError::NotCommitted(error.into())),
            Err(error) => Err(CommitError::InDoubt(error.into())),
        }
    }
}
