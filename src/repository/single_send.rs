//! A message that came alone, in one round trip. A batch takes some six, which its many messages
//! share; one message would wait for all of them. On SQLite, which is no trip away, a batch of one
//! is as fast.

use super::message_log::NewMessage;
use crate::{
    database::Database,
    error::{Error, is_not_committed},
    model::{ChatId, ClientMessageId, Content, Message, MessageId, Seq, Timestamp, UserId},
};
use sqlx::query_as;

/// A message to send, if nothing speaks against it.
pub struct SingleMessage<'a> {
    /// Where to.
    pub chat: ChatId,
    /// Who.
    pub author: UserId,
    /// What.
    pub content: &'a Content,
    /// The sender's own name for it.
    pub key: Option<&'a ClientMessageId>,
    /// Whether the author must be a member.
    pub members_only: bool,
}

/// What the store gives a message: its id, its number, its author's name.
#[derive(sqlx::FromRow)]
struct Given {
    message_id: MessageId,
    seq: Seq,
    username: String,
}

/// What came of trying.
pub enum SendAttempt {
    /// It is stored.
    Sent(Box<Message>),
    /// Nothing was stored: something speaks against it, which the long way finds out.
    Declined,
    /// Nothing was stored, and nothing will be right now.
    NotCommitted(Error),
    /// Nobody knows whether it is stored.
    InDoubt(Error),
}

/// Tries it. The chat's row is locked before the id is drawn, as every writer does; where the author
/// must be a member, before that is asked too, and their membership's row is looked at as it is then:
/// a removal that was waited for is seen.
pub(super) async fn send(store: &Database, new: &SingleMessage<'_>, now: Timestamp) -> SendAttempt {
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
    let Database::Postgres(pool) = store else {
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
        // A constraint: the same name, or the end of the author, came between.
        Err(sqlx::Error::Database(e)) if e.constraint().is_some() => SendAttempt::Declined,
        // The statement commits by itself. Its error leaves the commit in doubt if the session ended too.
        Err(error) if is_not_committed(&error) => SendAttempt::NotCommitted(error.into()),
        Err(error) => SendAttempt::InDoubt(error.into()),
    }
}

impl SingleMessage<'_> {
    fn sent(&self, given: Given, at: Timestamp) -> SendAttempt {
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
