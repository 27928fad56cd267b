//! Purges the rows of deleted chats, a few rows per transaction: one statement over hundreds of thousands of
//! messages would block all writers. Also reads which chats lack an admin or members, for admin succession.

use super::{list::List, row::from_row, search_purge};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, Timestamp},
};
use sqlx::{Result, query, query_as, query_scalar};

/// Maximum number of rows deleted in one transaction: about 10 ms on SQLite, which blocks its single writer
/// connection for that time.
const MAX_ROWS: i64 = 500;

/// Builds the statement that deletes the first `$2` rows of chat `$1`. On Postgres the ids are an array: Postgres expects
/// many rows of a subquery with a parameter as its limit, and would read the whole table for them.
macro_rules! delete_first {
    (POSTGRES $table:literal, $id:literal) => {
        delete_first!($table, $id, " = ANY (ARRAY(", "))")
    };
    (SQLITE $table:literal, $id:literal) => {
        delete_first!($table, $id, " IN (", ")")
    };
    ($table:literal, $id:literal, $begin:literal, $end:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE chat_id = $1 AND ",
            $id,
            $begin,
            "SELECT ",
            $id,
            " FROM ",
            $table,
            " WHERE chat_id <= $1 AND (chat_id, ",
            $id,
            ") > ($1, 0) ORDER BY chat_id, ",
            $id,
            " LIMIT $2",
            $end
        )
    };
}
pub(super) use delete_first;

/// Statements for Postgres and for SQLite.
type Statements = [&'static str; 2];

const MESSAGES: Statements = [
    delete_first!(POSTGRES "message", "message_id"),
    delete_first!(SQLITE "message", "message_id"),
];
const MEMBERS: Statements = [
    delete_first!(POSTGRES "customer_chat", "customer_id"),
    delete_first!(SQLITE "customer_chat", "customer_id"),
];
const CHANGES: Statements = [
    delete_first!(POSTGRES "membership_change", "customer_id"),
    delete_first!(SQLITE "membership_change", "customer_id"),
];
/// Deletes the chat itself, after its messages and memberships, so that no cascade is left. The condition on
/// `$2` is always true: it exists because `delete` binds the row limit to every statement.
const CHAT: Statements = ["DELETE FROM chat WHERE chat_id = $1 AND $2 > 0"; 2];

/// Number of chats read by one query of `tenures`: a few milliseconds.
const TENURES_PER_QUERY: i64 = 1000;

/// Facts about the members and admins of a chat, for admin succession.
#[derive(Clone, Debug)]
pub struct AdminTenure {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// True if the chat has a member.
    pub inhabited: bool,
    /// True if the chat has an admin.
    pub governed: bool,
    /// Time since which the chat is known to have no member; null if it has members or was not checked yet.
    pub empty_since: Option<Timestamp>,
}

from_row!(AdminTenure {
    chat_id,
    inhabited,
    governed,
    empty_since
});

/// Purges deleted chats and reads admin tenures.
#[derive(Clone, Copy)]
pub struct ChatPurgeRepository<'a>(pub(super) &'a Database);

impl ChatPurgeRepository<'_> {
    /// Returns the tenures of the next chats with ids above `after`, in order of id. Empty after the last
    /// chat.
    pub async fn tenures(self, after: ChatId) -> Result<Vec<AdminTenure>, Error> {
        // For EXISTS, Postgres reads all memberships into a hash table at each call.
        // The role is part of the statement, because the index on admins serves no parameter.
        const SQL: &str = "SELECT c.chat_id, c.empty_since, \
                (SELECT 1 FROM customer_chat m WHERE m.chat_id = c.chat_id LIMIT 1) \
                    IS NOT NULL AS inhabited, \
                (SELECT 1 FROM customer_chat m \
                    WHERE m.chat_id = c.chat_id AND m.role = 'admin' LIMIT 1) \
                    IS NOT NULL AS governed \
            FROM chat c WHERE c.chat_id > $1 AND c.deleted_at IS NULL \
            ORDER BY c.chat_id LIMIT $2";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(TENURES_PER_QUERY)
            .fetch_all(db)
            .await)?)
    }

    /// Clears `empty_since` of all chats. In open mode memberships do not count, so an empty chat must not
    /// age.
    pub async fn forget_empty(self) -> Result<(), Error> {
        const SQL: &str = "UPDATE chat SET empty_since = NULL WHERE empty_since IS NOT NULL";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes up to `MAX_ROWS` rows of one deleted chat: messages first, then memberships and their changes, then the
    /// search index of the chat, then the chat. Returns false if no deleted chat is left, or if other nodes have locked
    /// all deleted chats.
    pub async fn step(self) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let Some(chat) = next_deleted_chat(&mut tx).await? else {
            return Ok(false);
        };
        let purged = delete(&mut tx, MESSAGES, chat).await? > 0
            || delete(&mut tx, MEMBERS, chat).await? > 0
            || delete(&mut tx, CHANGES, chat).await? > 0
            || search_purge::forget(&mut tx, chat).await?;
        if !purged {
            delete(&mut tx, CHAT, chat).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Runs one DELETE statement of at most `MAX_ROWS` rows and returns the number of deleted rows.
async fn delete(
    tx: &mut DatabaseTransaction,
    [postgres, sqlite]: Statements,
    chat: ChatId,
) -> Result<u64, sqlx::Error> {
    on!(tx tx, [postgres, sqlite], |rows, db| query(rows)
        .bind(chat)
        .bind(MAX_ROWS)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))
}

/// Locks the first deleted chat that no other transaction has locked; null if there is none.
pub(crate) async fn next_deleted_chat(tx: &mut DatabaseTransaction) -> Result<Option<ChatId>> {
    const POSTGRES: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                            ORDER BY chat_id LIMIT 1 FOR UPDATE SKIP LOCKED";
    const SQLITE: &str = "SELECT chat_id FROM chat WHERE deleted_at IS NOT NULL \
                          ORDER BY chat_id LIMIT 1";
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
        .fetch_optional(db)
        .await)
}

/// Locks the deleted chats among `chats`, so that no purge deletes their rows before this transaction ends.
/// The order of ids avoids deadlocks. SQLite has one writer and needs no lock.
pub(crate) async fn lock_deleted_chats(
    tx: &mut DatabaseTransaction,
    chats: &[ChatId],
) -> Result<()> {
    const POSTGRES: &str = "SELECT chat_id FROM chat \
                            WHERE chat_id = ANY($1) AND deleted_at IS NOT NULL \
                            ORDER BY chat_id FOR NO KEY UPDATE";
    if let DatabaseTransaction::Postgres(tx) = tx {
        query(POSTGRES).bind(List(chats)).execute(&mut **tx).await?;
    }
    Ok(())
}
