//! Queries that find the ids in a list which no longer exist, and liveness queries for sessions. The delivery
//! reconciler and the session service use them to end subscriptions and sessions.

use super::{column, json};
use crate::{
    database::{Database, DatabaseTransaction},
    model::{ChatId, SessionId, Timestamp, UserId},
};
use sqlx::{Result, query_as, query_scalar};

/// Returns the pairs that are not a membership although both the user and the chat exist. Pairs with a
/// deleted user or chat are left out, because the deletion is reported separately. One statement reads all
/// tables, so that a concurrent deletion is not mistaken for the end of a membership.
pub(crate) async fn non_members(
    store: &Database,
    pairs: &[(UserId, ChatId)],
) -> Result<Vec<(UserId, ChatId)>> {
    const POSTGRES: &str = "SELECT k.u, k.c FROM unnest($1::bigint[], $2::bigint[]) AS k (u, c) \
        JOIN customer u ON u.customer_id = k.u \
        JOIN chat c ON c.chat_id = k.c AND c.deleted_at IS NULL \
        WHERE NOT EXISTS (SELECT FROM customer_chat m \
            WHERE m.customer_id = k.u AND m.chat_id = k.c)";
    const SQLITE: &str = "SELECT k.value ->> 0, k.value ->> 1 FROM json_each($1) AS k \
        JOIN customer u ON u.customer_id = k.value ->> 0 \
        JOIN chat c ON c.chat_id = k.value ->> 1 AND c.deleted_at IS NULL \
        WHERE NOT EXISTS (SELECT 1 FROM customer_chat m \
            WHERE m.customer_id = k.value ->> 0 AND m.chat_id = k.value ->> 1)";
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

/// Returns the ids that have no user.
pub(crate) async fn missing_users(store: &Database, ids: &[UserId]) -> Result<Vec<UserId>> {
    const POSTGRES: &str = "SELECT k.id FROM unnest($1::bigint[]) AS k (id) \
        WHERE NOT EXISTS (SELECT FROM customer u WHERE u.customer_id = k.id)";
    const SQLITE: &str = "SELECT k.value FROM json_each($1) AS k \
        WHERE NOT EXISTS (SELECT 1 FROM customer u WHERE u.customer_id = k.value)";
    match store {
        Database::Postgres(pool) => {
            let query = query_scalar(POSTGRES).bind(column(ids, |id| id.0));
            query.fetch_all(pool).await
        }
        Database::Sqlite(embedded) => {
            let query = query_scalar(SQLITE).bind(json(ids, |id| id.0));
            query.fetch_all(embedded.readers()).await
        }
    }
}

/// Returns the ids that have no session.
pub(crate) async fn missing_sessions(
    store: &Database,
    ids: &[SessionId],
) -> Result<Vec<SessionId>> {
    const POSTGRES: &str = "SELECT k.id FROM unnest($1::bigint[]) AS k (id) \
        WHERE NOT EXISTS (SELECT FROM session s WHERE s.session_id = k.id)";
    const SQLITE: &str = "SELECT k.value FROM json_each($1) AS k \
        WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.session_id = k.value)";
    match store {
        Database::Postgres(pool) => {
            let query = query_scalar(POSTGRES).bind(column(ids, |id| id.0));
            query.fetch_all(pool).await
        }
        Database::Sqlite(embedded) => {
            let query = query_scalar(SQLITE).bind(json(ids, |id| id.0));
            query.fetch_all(embedded.readers()).await
        }
    }
}

/// Returns the current time: the clock of the database server on Postgres, the clock of this process on
/// SQLite.
pub(crate) async fn now(store: &Database) -> Result<Timestamp> {
    const POSTGRES: &str = "SELECT clock_timestamp()";
    match store {
        Database::Postgres(pool) => query_scalar(POSTGRES).fetch_one(pool).await,
        Database::Sqlite(_) => Ok(Timestamp::now()),
    }
}

/// Records `now` as the last use of the sessions. Returns the sessions that have not expired; expired and
/// missing sessions are not changed.
pub(crate) async fn touch_sessions(
    tx: &mut DatabaseTransaction,
    sessions: &[SessionId],
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    const POSTGRES: &str = "UPDATE session SET last_used_at = $2 \
        WHERE session_id = ANY($1) AND expires_at > $2 RETURNING session_id";
    const SQLITE: &str = "UPDATE session SET last_used_at = $2 \
        WHERE session_id IN (SELECT value FROM json_each($1)) AND expires_at > $2 \
        RETURNING session_id";
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query_scalar(POSTGRES).bind(column(sessions, |s| s.0));
            query.bind(now).fetch_all(&mut **tx).await
        }
        DatabaseTransaction::Sqlite(tx) => {
            let query = query_scalar(SQLITE).bind(json(sessions, |s| s.0));
            query.bind(now).fetch_all(&mut **tx).await
        }
    }
}
