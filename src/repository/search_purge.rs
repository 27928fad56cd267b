//! Removes deleted chats from the search index, in short transactions.

use super::{
    chat_purge::delete_first,
    search_index::{Budget, segments_of},
    search_tokens::{self, Entry, Segment, StoredGrams},
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, MessageId, Seq},
};
use sqlx::{Result, query, query_as, query_scalar};

/// Maximum number of messages that one step removes on Postgres.
const MAX_PURGED: i64 = 500;
/// Maximum number of messages that one step reads on SQLite. The tokens that a step may remove are those of some ten
/// messages.
const MAX_READ: i64 = 64;

/// Removes chats that do not exist any more from the search index.
#[derive(Clone, Copy)]
pub struct SearchPurgeRepository<'a>(pub(super) &'a Database);

impl SearchPurgeRepository<'_> {
    /// Removes the next messages of a chat that does not exist any more from the index. Returns false if nothing of
    /// the chat is left, or if the chat exists.
    pub async fn step(self, chat: ChatId) -> Result<bool, Error> {
        const EXISTS: &str = "SELECT chat_id FROM chat WHERE chat_id = $1";
        let mut tx = self.0.begin().await?;
        lock_position(&mut tx, chat).await?;
        let found: Option<ChatId> = on!(tx &mut tx, |db| query_scalar(EXISTS)
            .bind(chat)
            .fetch_optional(db)
            .await)?;
        let more = found.is_none() && forget(&mut tx, chat).await?;
        tx.commit().await?;
        Ok(more)
    }
}

/// Locks the position of a chat, so that no node indexes the chat before the end of the transaction. SQLite has one
/// writer and needs no lock.
async fn lock_position(tx: &mut DatabaseTransaction, chat: ChatId) -> Result<()> {
    const POSTGRES: &str = "SELECT chat_id FROM search_position WHERE chat_id = $1 FOR UPDATE";
    if let DatabaseTransaction::Postgres(tx) = tx {
        query(POSTGRES).bind(chat).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Removes the next messages of a deleted chat from the index, and after the last one its position. Returns true if
/// messages were removed.
pub(super) async fn forget(tx: &mut DatabaseTransaction, chat: ChatId) -> Result<bool> {
    const REST: [&str; 2] = [
        "DELETE FROM search_segment WHERE chat_id = $1",
        "DELETE FROM search_position WHERE chat_id = $1",
    ];
    lock_position(tx, chat).await?;
    let removed = match tx {
        DatabaseTransaction::Postgres(tx) => {
            const POSTGRES: &str = delete_first!(POSTGRES "message_search", "message_id");
            let query = query(POSTGRES).bind(chat).bind(MAX_PURGED);
            query.execute(&mut **tx).await?.rows_affected() > 0
        }
        DatabaseTransaction::Sqlite(_) => forget_sqlite(tx, chat).await?,
    };
    if !removed {
        for sql in REST {
            on!(tx &mut *tx, |db| query(sql).bind(chat).execute(db).await.map(drop))?;
        }
    }
    Ok(removed)
}

async fn forget_sqlite(tx: &mut DatabaseTransaction, chat: ChatId) -> Result<bool> {
    const SQLITE: &str = "SELECT message_id, grams FROM message_search \
                          WHERE chat_id = $1 ORDER BY message_id LIMIT $2";
    let stored: Vec<StoredGrams> = on!(tx &mut *tx, |db| query_as(SQLITE)
        .bind(chat)
        .bind(MAX_READ)
        .fetch_all(db)
        .await)?;
    let ids: Vec<MessageId> = stored.iter().map(|row| row.message_id).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let firsts = segments_of(tx, chat, &ids).await?;
    let entry = |(row, first): (&StoredGrams, MessageId)| Entry {
        segment: Segment { chat, first },
        message: row.message_id,
        seq: Seq(0),
        grams: Vec::new(),
        old: row.grams(),
    };
    let mut entries: Vec<Entry> = stored.iter().zip(firsts).map(entry).collect();
    Budget::full().fit(&mut entries);
    search_tokens::write(tx, entries).await?;
    Ok(true)
}
