//! The latest message of each chat, which the chat keeps in two columns: `last_message_id`, and `last_message_seq`,
//! the seq of the chat at which this was the latest message. Every change of the log moves both with `seq`. If
//! `last_message_seq` is not `seq`, a node of an older version or an import has changed the chat; the latest message
//! is then read from `message`, and stored by `step`.

use super::{list::List, lock, row::from_row};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::ChatId,
};
use sqlx::{Result, query, query_as};

/// Builds the id of the latest message of a row of `chat`; 0 if the chat has no message. Tombstones count.
macro_rules! last_message {
    ($chat:literal) => {
        concat!(
            "CASE WHEN ",
            $chat,
            ".last_message_seq = ",
            $chat,
            ".seq THEN ",
            $chat,
            ".last_message_id ELSE coalesce((SELECT x.message_id FROM message x WHERE x.chat_id >= ",
            $chat,
            ".chat_id AND (x.chat_id, x.message_id) <= (",
            $chat,
            ".chat_id, 9223372036854775807) ORDER BY x.chat_id DESC, x.message_id DESC LIMIT 1), 0) END"
        )
    };
}
pub(super) use last_message;

/// Number of chats that one step reads: a few milliseconds.
const READ_AT_ONCE: i64 = 1000;
/// Number of chats that one transaction changes. They are locked for some 10 ms.
const CHANGED_AT_ONCE: usize = 100;

/// Stores missing latest messages.
#[derive(Clone, Copy)]
pub struct LastMessageRepository<'a>(pub(super) &'a Database);

/// A chat, and whether its latest message is stored.
struct ChatRow {
    chat_id: ChatId,
    current: bool,
}

from_row!(ChatRow { chat_id, current });

impl LastMessageRepository<'_> {
    /// Stores the latest messages of the next chats, with ids above `after`, where they are not stored. Returns the
    /// last chat of the step; null if no chat is left.
    pub async fn step(self, after: ChatId) -> Result<Option<ChatId>, Error> {
        const SQL: &str = "SELECT chat_id, \
                               last_message_seq = seq OR deleted_at IS NOT NULL AS current \
                           FROM chat WHERE chat_id > $1 ORDER BY chat_id LIMIT $2";
        let chats: Vec<ChatRow> = on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(READ_AT_ONCE)
            .fetch_all(db)
            .await)?;
        let stale = chats.iter().filter(|chat| !chat.current);
        let stale: Vec<ChatId> = stale.map(|chat| chat.chat_id).collect();
        for chats in stale.chunks(CHANGED_AT_ONCE) {
            let mut tx = self.0.begin().await?;
            // No message can be sent between the lock and the statement that reads the latest one.
            lock::lock_chats(&mut tx, chats).await?;
            store(&mut tx, chats).await?;
            tx.commit().await?;
        }
        Ok(chats.last().map(|chat| chat.chat_id))
    }
}

/// Stores the latest messages of these chats, where they are not stored.
async fn store(tx: &mut DatabaseTransaction, chats: &[ChatId]) -> Result<()> {
    const POSTGRES: &str = concat!(
        "UPDATE chat AS c SET last_message_seq = seq, last_message_id = ",
        last_message!("c"),
        " WHERE chat_id = ANY($1) AND deleted_at IS NULL AND last_message_seq <> seq"
    );
    const SQLITE: &str = concat!(
        "UPDATE chat AS c SET last_message_seq = seq, last_message_id = ",
        last_message!("c"),
        " WHERE chat_id IN (SELECT value FROM json_each($1)) AND deleted_at IS NULL \
         AND last_message_seq <> seq"
    );
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query(sql)
        .bind(List(chats))
        .execute(db)
        .await
        .map(drop))
}

/// Stores the latest message of every chat, in a transaction that has filled the tables.
pub(super) async fn store_all(tx: &mut DatabaseTransaction) -> Result<()> {
    const SQL: &str = concat!(
        "UPDATE chat AS c SET last_message_seq = seq, last_message_id = ",
        last_message!("c"),
        " WHERE last_message_seq <> seq"
    );
    on!(tx tx, |db| query(SQL).execute(db).await.map(drop))
}
