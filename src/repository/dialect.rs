//! Statements that differ between the two databases, with both forms side by side. Lists of rows are bound as
//! arrays (`unnest`) on Postgres and as JSON (`json_each`) on SQLite. Row locks exist only on Postgres,
//! because SQLite has one writer.

mod gone;

use super::{
    member::MembershipStatus,
    message::{Head, select_messages},
    message_log::{Author, IdempotencyKey},
};
use crate::{
    database::{Database, DatabaseTransaction},
    model::{ChatId, Message, MessageId, UserId},
};
use serde::Serialize;
use sqlx::{Result, query_as};

pub(super) use super::{
    backup::{disable_timeouts, last_ids, set_last_ids, with_given_ids},
    chat_purge::{lock_deleted_chats, next_deleted_chat},
    lock::{hold_user, lock_chats, lock_if_empty, lock_user, set_short_lock_timeout, unlocked},
    member::{join, users},
    message_log::{advance, advance_to_last, append, update},
    read_position::{mark_read, positions},
};
pub(super) use gone::{missing_sessions, missing_users, non_members, now, touch_sessions};

/// Returns one column of `rows` as an array parameter for Postgres.
pub(crate) fn column<'a, T, U>(rows: &'a [T], value: impl Fn(&'a T) -> U) -> Vec<U> {
    rows.iter().map(value).collect()
}

/// Returns `rows` as a JSON array, the list parameter for SQLite.
pub(crate) fn json<'a, T, U: Serialize>(rows: &'a [T], value: impl Fn(&'a T) -> U) -> String {
    let rows: Vec<U> = rows.iter().map(value).collect();
    // Rows hold only numbers, texts and nulls, so serialization cannot fail.
    serde_json::to_string(&rows).unwrap_or_default()
}

/// Returns the membership status of each pair of user and chat, in the order of `pairs`.
pub(super) async fn memberships(
    store: &Database,
    pairs: &[(UserId, ChatId)],
) -> Result<Vec<MembershipStatus>> {
    const POSTGRES: &str = "SELECT \
        (SELECT username FROM customer WHERE customer_id = k.u) AS username, \
        (SELECT seq FROM chat WHERE chat_id = k.c AND deleted_at IS NULL) AS head, \
        (SELECT role FROM customer_chat WHERE customer_id = k.u AND chat_id = k.c) AS role, \
        (SELECT epoch FROM log_epoch) AS epoch \
        FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS k (u, c, n) ORDER BY k.n";
    const SQLITE: &str = "SELECT \
        (SELECT username FROM customer WHERE customer_id = k.value ->> 0) AS username, \
        (SELECT seq FROM chat WHERE chat_id = k.value ->> 1 AND deleted_at IS NULL) AS head, \
        (SELECT role FROM customer_chat WHERE customer_id = k.value ->> 0 \
            AND chat_id = k.value ->> 1) AS role, \
        (SELECT epoch FROM log_epoch) AS epoch \
        FROM json_each($1) AS k ORDER BY k.key";
    match store {
        Database::Postgres(pool) => {
            let query = query_as(POSTGRES).bind(column(pairs, |(user, _)| user.0));
            query
                .bind(column(pairs, |(_, chat)| chat.0))
                .fetch_all(pool)
                .await
        }
        Database::Sqlite(embedded) => {
            let query = query_as(SQLITE).bind(json(pairs, |(user, chat)| (user.0, chat.0)));
            query.fetch_all(embedded.readers()).await
        }
    }
}

/// Returns the committed heads of the chats. Missing and deleted chats are left out.
pub(super) async fn heads(store: &Database, chats: &[ChatId]) -> Result<Vec<Head>> {
    const POSTGRES: &str = "SELECT chat_id, seq FROM chat \
                            WHERE chat_id = ANY($1) AND deleted_at IS NULL";
    const SQLITE: &str = "SELECT chat_id, seq FROM chat \
                          WHERE chat_id IN (SELECT value FROM json_each($1)) \
                          AND deleted_at IS NULL";
    match store {
        Database::Postgres(pool) => {
            query_as(POSTGRES)
                .bind(column(chats, |c| c.0))
                .fetch_all(pool)
                .await
        }
        Database::Sqlite(embedded) => {
            query_as(SQLITE)
                .bind(json(chats, |c| c.0))
                .fetch_all(embedded.readers())
                .await
        }
    }
}

/// Returns the users, each with its memberships in `chats`. On Postgres the users cannot be deleted before
/// the transaction ends.
pub(super) async fn authors(
    tx: &mut DatabaseTransaction,
    users: &[UserId],
    chats: &[ChatId],
) -> Result<Vec<Author>> {
    const POSTGRES: &str = "SELECT u.customer_id, u.username, m.chat_id, m.role FROM customer u \
                            LEFT JOIN customer_chat m \
                            ON m.customer_id = u.customer_id AND m.chat_id = ANY($2) \
                            WHERE u.customer_id = ANY($1) ORDER BY u.customer_id \
                            FOR KEY SHARE OF u";
    const SQLITE: &str = "SELECT u.customer_id, u.username, m.chat_id, m.role FROM customer u \
                          LEFT JOIN customer_chat m ON m.customer_id = u.customer_id \
                          AND m.chat_id IN (SELECT value FROM json_each($2)) \
                          WHERE u.customer_id IN (SELECT value FROM json_each($1))";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query_as(POSTGRES).bind(column(users, |u| u.0));
            query
                .bind(column(chats, |c| c.0))
                .fetch_all(&mut **tx)
                .await
        }
        DatabaseTransaction::Sqlite(tx) => {
            let query = query_as(SQLITE).bind(json(users, |u| u.0));
            query.bind(json(chats, |c| c.0)).fetch_all(&mut **tx).await
        }
    }
}

/// Returns the messages with these ids in these chats. The chat is part of each condition, because on
/// Postgres the primary key is `(chat_id, message_id)` and the table may be partitioned by chat.
pub(super) async fn messages(
    tx: &mut DatabaseTransaction,
    named: &[(ChatId, MessageId)],
) -> Result<Vec<Message>> {
    const POSTGRES: &str = select_messages!(
        "JOIN unnest($1::bigint[], $2::bigint[]) AS k (chat, id) \
         ON m.chat_id = k.chat AND m.message_id = k.id"
    );
    const SQLITE: &str = select_messages!(
        "JOIN json_each($1) AS k ON m.chat_id = k.value ->> 0 AND m.message_id = k.value ->> 1"
    );
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            query_as(POSTGRES)
                .bind(column(named, |(chat, _)| chat.0))
                .bind(column(named, |(_, id)| id.0))
                .fetch_all(&mut **tx)
                .await
        }
        DatabaseTransaction::Sqlite(tx) => {
            query_as(SQLITE)
                .bind(json(named, |(chat, id)| (chat.0, id.0)))
                .fetch_all(&mut **tx)
                .await
        }
    }
}

const MESSAGES_POSTGRES: &str = select_messages!("WHERE m.message_id = ANY($1)");
const MESSAGES_SQLITE: &str =
    select_messages!("WHERE m.message_id IN (SELECT value FROM json_each($1))");

/// Returns the messages with these ids, in no particular order. Missing messages are left out.
pub(super) async fn read_messages(store: &Database, ids: &[MessageId]) -> Result<Vec<Message>> {
    match store {
        Database::Postgres(pool) => {
            query_as(MESSAGES_POSTGRES)
                .bind(column(ids, |id| id.0))
                .fetch_all(pool)
                .await
        }
        Database::Sqlite(embedded) => {
            let query = query_as(MESSAGES_SQLITE).bind(json(ids, |id| id.0));
            query.fetch_all(embedded.readers()).await
        }
    }
}

/// Returns the messages that are stored under these idempotency keys. The condition `IS NOT NULL` lets
/// Postgres use the partial index on the keys.
pub(super) async fn duplicates(
    tx: &mut DatabaseTransaction,
    keys: &[IdempotencyKey],
) -> Result<Vec<Message>> {
    const POSTGRES: &str = select_messages!(
        "JOIN unnest($1::bigint[], $2::bigint[], $3::text[]) AS k (chat, author, key) \
         ON m.chat_id = k.chat AND m.customer_id = k.author AND m.client_message_id = k.key \
         AND m.client_message_id IS NOT NULL"
    );
    const SQLITE: &str = select_messages!(
        "JOIN json_each($1) AS k ON m.chat_id = k.value ->> 0 \
         AND m.customer_id = k.value ->> 1 AND m.client_message_id = k.value ->> 2 \
         AND m.client_message_id IS NOT NULL"
    );
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            query_as(POSTGRES)
                .bind(column(keys, |k| k.chat.0))
                .bind(column(keys, |k| k.author.0))
                .bind(column(keys, |k| k.key.as_str()))
                .fetch_all(&mut **tx)
                .await
        }
        DatabaseTransaction::Sqlite(tx) => {
            let rows = json(keys, |k| (k.chat.0, k.author.0, k.key.as_str()));
            query_as(SQLITE).bind(rows).fetch_all(&mut **tx).await
        }
    }
}
