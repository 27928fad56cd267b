//! Users and members, many at once.

use super::{column, json};
use crate::{
    model::{ChatId, Role, Timestamp, User, UserId},
    repository::position::latest_message,
    store::{Store, StoreTransaction},
};
use sqlx::{Result, query, query_as};

/// Makes users members of chats, where both exist and they are not members yet. The rows are locked
/// in the order of the pairs.
pub(in crate::repository) async fn join(
    tx: &mut StoreTransaction,
    pairs: &[(UserId, ChatId)],
    role: Role,
    now: Timestamp,
) -> Result<()> {
    const POSTGRES: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, ",
        latest_message!("c.chat_id"),
        " FROM unnest($3::bigint[], $4::bigint[]) AS k (u, c) \
        JOIN customer u ON u.customer_id = k.u \
        JOIN chat c ON c.chat_id = k.c AND c.deleted_at IS NULL \
        ON CONFLICT (customer_id, chat_id) DO NOTHING"
    );
    // A join before ON CONFLICT needs a WHERE, lest SQLite take it for the join's own ON.
    const SQLITE: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, ",
        latest_message!("c.chat_id"),
        " FROM json_each($3) AS k \
        JOIN customer u ON u.customer_id = k.value ->> 0 \
        JOIN chat c ON c.chat_id = k.value ->> 1 AND c.deleted_at IS NULL WHERE TRUE \
        ON CONFLICT (customer_id, chat_id) DO NOTHING"
    );
    match tx {
        StoreTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(role.as_str()).bind(now);
            let query = query.bind(column(pairs, |(user, _)| user.0));
            let query = query.bind(column(pairs, |(_, chat)| chat.0));
            query.execute(&mut **tx).await.map(drop)
        }
        StoreTransaction::Sqlite(tx) => {
            let query = query(SQLITE).bind(role.as_str()).bind(now);
            let query = query.bind(json(pairs, |(user, chat)| (user.0, chat.0)));
            query.execute(&mut **tx).await.map(drop)
        }
    }
}

/// The users of those ids, in any order; those that do not exist are left out.
pub(in crate::repository) async fn users(store: &Store, ids: &[UserId]) -> Result<Vec<User>> {
    const POSTGRES: &str = "SELECT customer_id, username, created_at FROM customer \
        WHERE customer_id = ANY($1)";
    const SQLITE: &str = "SELECT customer_id, username, created_at FROM customer \
        WHERE customer_id IN (SELECT value FROM json_each($1))";
    match store {
        Store::Postgres(pool) => {
            let query = query_as(POSTGRES).bind(column(ids, |id| id.0));
            query.fetch_all(pool).await
        }
        Store::Sqlite(embedded) => {
            let query = query_as(SQLITE).bind(json(ids, |id| id.0));
            query.fetch_all(embedded.readers()).await
        }
    }
}
