//! Row locks of Postgres, held until the end of the transaction. SQLite has one writer and needs no row
//! locks; there the functions only read, or do nothing.

use super::{heads::Heads, list::List, message::Head};
use crate::{
    database::{DatabaseTransaction, on},
    model::{ChatId, UserId},
};
use sqlx::{Result, query, query_as, query_scalar};

/// Locks the chats against all other writers, in the order of their ids so that two transactions cannot
/// deadlock. Returns the head of each chat; missing and deleted chats have none.
pub(crate) async fn lock_chats(tx: &mut DatabaseTransaction, chats: &[ChatId]) -> Result<Heads> {
    const POSTGRES: &str = "SELECT chat_id, seq FROM chat \
                            WHERE chat_id = ANY($1) AND deleted_at IS NULL \
                            ORDER BY chat_id FOR NO KEY UPDATE";
    const SQLITE: &str = "SELECT chat_id, seq FROM chat \
                          WHERE chat_id IN (SELECT value FROM json_each($1)) \
                          AND deleted_at IS NULL";
    let locked: Vec<Head> = on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_as(sql)
        .bind(List(chats))
        .fetch_all(db)
        .await)?;
    Ok(locked.into_iter().collect())
}

/// Locks the user against all other writers, including inserts that refer to the user. Returns false if the
/// user does not exist.
pub(crate) async fn lock_user(tx: &mut DatabaseTransaction, user: UserId) -> Result<bool> {
    const POSTGRES: &str = "SELECT customer_id FROM customer WHERE customer_id = $1 FOR UPDATE";
    const SQLITE: &str = "SELECT customer_id FROM customer WHERE customer_id = $1";
    let found: Option<i64> = on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
        .bind(user)
        .fetch_optional(db)
        .await)?;
    Ok(found.is_some())
}

/// Locks the user against other calls of `hold_user` and against changes of the user. Inserts that only refer
/// to the user do not wait.
pub(crate) async fn hold_user(tx: &mut DatabaseTransaction, user: UserId) -> Result<()> {
    const POSTGRES: &str =
        "SELECT customer_id FROM customer WHERE customer_id = $1 FOR NO KEY UPDATE";
    if let DatabaseTransaction::Postgres(tx) = tx {
        query(POSTGRES).bind(user).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Returns true if the database has no user and no chat. Other nodes cannot insert a user or a chat before
/// this transaction ends.
pub(crate) async fn lock_if_empty(tx: &mut DatabaseTransaction) -> Result<bool> {
    const EMPTY: &str =
        "SELECT count(*) FROM (SELECT 1 FROM customer UNION ALL SELECT 1 FROM chat LIMIT 1) t";
    let rows: i64 = match tx {
        DatabaseTransaction::Postgres(tx) => {
            query("LOCK TABLE customer, chat IN SHARE ROW EXCLUSIVE MODE")
                .execute(&mut **tx)
                .await?;
            query_scalar(EMPTY).fetch_one(&mut **tx).await?
        }
        DatabaseTransaction::Sqlite(tx) => query_scalar(EMPTY).fetch_one(&mut **tx).await?,
    };
    Ok(rows == 0)
}

/// Limits each wait for a lock in this transaction to 250 ms on Postgres: enough for a live holder to commit,
/// too short for a holder that hangs. SQLite has no row locks to wait for.
pub(crate) async fn set_short_lock_timeout(tx: &mut DatabaseTransaction) -> Result<()> {
    const POSTGRES: &str = "SET LOCAL lock_timeout = '250ms'";
    if let DatabaseTransaction::Postgres(tx) = tx {
        query(POSTGRES).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Returns the subset of `chats` that no other transaction has locked, and locks that subset. Missing chats
/// are left out. SQLite returns all chats.
pub(crate) async fn unlocked(
    tx: &mut DatabaseTransaction,
    chats: &[ChatId],
) -> Result<Vec<ChatId>> {
    const POSTGRES: &str = "SELECT chat_id FROM chat WHERE chat_id = ANY($1) \
                            ORDER BY chat_id FOR NO KEY UPDATE SKIP LOCKED";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            query_scalar(POSTGRES)
                .bind(List(chats))
                .fetch_all(&mut **tx)
                .await
        }
        DatabaseTransaction::Sqlite(_) => Ok(chats.to_vec()),
    }
}
