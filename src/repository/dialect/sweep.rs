//! Deleted chats that are still to be swept away. Several servers sweep at once: one works on a chat
//! at a time, the others pass it over.

use super::column;
use crate::{model::ChatId, store::StoreTransaction};
use sqlx::{Result, query, query_scalar};

/// Locks the first deleted chat that nobody works on.
pub(in crate::repository) async fn next_deleted_chat(
    tx: &mut StoreTransaction,
) -> Result<Option<ChatId>> {
    const POSTGRES: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                            ORDER BY chat_id LIMIT 1 FOR UPDATE SKIP LOCKED";
    const SQLITE: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                          ORDER BY chat_id LIMIT 1";
    match tx {
        StoreTransaction::Postgres(tx) => {
            let query = query_scalar(POSTGRES);
            query.fetch_optional(&mut **tx).await
        }
        StoreTransaction::Sqlite(tx) => query_scalar(SQLITE).fetch_optional(&mut **tx).await,
    }
}

/// Locks those of the chats that are deleted, in one order, so that nobody sweeps them meanwhile.
pub(in crate::repository) async fn lock_deleted_chats(
    tx: &mut StoreTransaction,
    chats: &[ChatId],
) -> Result<()> {
    const POSTGRES: &str = "SELECT chat_id FROM chat \
                            WHERE chat_id = ANY($1) AND deleted_at IS NOT NULL \
                            ORDER BY chat_id FOR NO KEY UPDATE";
    if let StoreTransaction::Postgres(tx) = tx {
        query(POSTGRES)
            .bind(column(chats, |chat| chat.0))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
