//! What deleted chats leave behind: swept away a few rows at a time, because one statement over
//! hundreds of thousands of messages would hold up everyone who writes.

use super::dialect::{self, column};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, Role, Timestamp},
};
use sqlx::{Result, query, query_as, query_scalar};

/// Most rows of one transaction: some ten milliseconds on SQLite, whose one connection for writing
/// nobody else has meanwhile.
const AT_ONCE: i64 = 500;

const MESSAGES: &str = "DELETE FROM message WHERE message_id IN (SELECT message_id FROM message \
                        WHERE chat_id = $1 ORDER BY message_id LIMIT $2)";
const MEMBERS: &str = "DELETE FROM customer_chat WHERE chat_id = $1 AND customer_id IN \
                       (SELECT customer_id FROM customer_chat WHERE chat_id = $1 \
                        ORDER BY customer_id LIMIT $2)";
/// The limit is always met: it is one row, with nothing left that would go with it.
const CHAT: &str = "DELETE FROM chat WHERE chat_id = $1 AND $2 > 0";

/// Chats that are looked at in one query: some milliseconds.
const LOOKED_AT: i64 = 1000;

/// Who runs a chat, if anybody.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AdminTenure {
    /// Which chat.
    pub chat_id: ChatId,
    /// Whether it has a member.
    pub inhabited: bool,
    /// Whether it has an admin.
    pub governed: bool,
    /// Since when it is known to have no member.
    pub empty_since: Option<Timestamp>,
}

/// Sweeps deleted chats away.
#[derive(Clone)]
pub struct ChatPurgeRepository(Database);

impl ChatPurgeRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// How the next chats with ids over `after` are run, by id; none at the end.
    pub async fn tenures(&self, after: ChatId) -> Result<Vec<AdminTenure>, Error> {
        const SQL: &str = "SELECT c.chat_id, c.empty_since, \
                EXISTS (SELECT 1 FROM customer_chat m WHERE m.chat_id = c.chat_id) AS inhabited, \
                EXISTS (SELECT 1 FROM customer_chat m \
                    WHERE m.chat_id = c.chat_id AND m.role = $2) AS governed \
            FROM chat c WHERE c.chat_id > $1 AND c.deleted_at IS NULL \
            ORDER BY c.chat_id LIMIT $3";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(after)
            .bind(Role::Admin.as_str())
            .bind(LOOKED_AT)
            .fetch_all(db)
            .await)?)
    }

    /// Forgets since when chats have no members.
    pub async fn forget_empty(&self) -> Result<(), Error> {
        const SQL: &str = "UPDATE chat SET empty_since = NULL WHERE empty_since IS NOT NULL";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes some rows of a deleted chat, at the end its own; false where nothing is left to
    /// sweep, or others are at it.
    pub async fn step(&self) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let Some(chat) = dialect::next_deleted_chat(&mut tx).await? else {
            return Ok(false);
        };
        for rows in [MESSAGES, MEMBERS, CHAT] {
            if delete(&mut tx, rows, chat).await? > 0 {
                break;
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}

async fn delete(
    tx: &mut DatabaseTransaction,
    rows: &'static str,
    chat: ChatId,
) -> Result<u64, sqlx::Error> {
    on!(tx tx, |db| query(rows)
        .bind(chat)
        .bind(AT_ONCE)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))
}

/// Locks the first deleted chat that nobody works on.
pub(crate) async fn next_deleted_chat(tx: &mut DatabaseTransaction) -> Result<Option<ChatId>> {
    const POSTGRES: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                            ORDER BY chat_id LIMIT 1 FOR UPDATE SKIP LOCKED";
    const SQLITE: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                          ORDER BY chat_id LIMIT 1";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query_scalar(POSTGRES);
            query.fetch_optional(&mut **tx).await
        }
        DatabaseTransaction::Sqlite(tx) => query_scalar(SQLITE).fetch_optional(&mut **tx).await,
    }
}

/// Locks those of the chats that are deleted, in one order, so that nobody sweeps them meanwhile.
pub(crate) async fn lock_deleted_chats(
    tx: &mut DatabaseTransaction,
    chats: &[ChatId],
) -> Result<()> {
    const POSTGRES: &str = "SELECT chat_id FROM chat \
                            WHERE chat_id = ANY($1) AND deleted_at IS NOT NULL \
                            ORDER BY chat_id FOR NO KEY UPDATE";
    if let DatabaseTransaction::Postgres(tx) = tx {
        query(POSTGRES)
            .bind(column(chats, |chat| chat.0))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
