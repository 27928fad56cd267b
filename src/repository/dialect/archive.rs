//! Where the ids come from, which the two databases keep in different places.

use crate::{repository::LastIds, store::StoreTransaction};
use sqlx::{Result, query, query_as};

/// The last ids that were given.
pub(in crate::repository) async fn last_ids(tx: &mut StoreTransaction) -> Result<LastIds> {
    // A sequence may have another name in a database of the original.
    const POSTGRES: &str = "SELECT \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('customer', 'customer_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('chat', 'chat_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('message', 'message_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('session', 'session_id')::regclass), 0)";
    const SQLITE: &str = "SELECT \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'customer'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'chat'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'session'), 0)";
    let (user, chat, message, session) = match tx {
        StoreTransaction::Postgres(tx) => query_as(POSTGRES).fetch_one(&mut **tx).await,
        StoreTransaction::Sqlite(tx) => query_as(SQLITE).fetch_one(&mut **tx).await,
    }?;
    Ok(LastIds {
        user,
        chat,
        message,
        session,
    })
}

/// Lets the next ids follow these; 0 stands for none that was given.
pub(in crate::repository) async fn set_last_ids(
    tx: &mut StoreTransaction,
    last: LastIds,
) -> Result<()> {
    const POSTGRES: &str = "SELECT \
        setval(pg_get_serial_sequence($1, $2)::regclass, greatest($3, 1), $3 > 0)";
    const FORGET: &str = "DELETE FROM sqlite_sequence WHERE name = $1";
    const SQLITE: &str = "INSERT INTO sqlite_sequence (name, seq) SELECT $1, $2 WHERE $2 > 0";
    for (table, column, last) in [
        ("customer", "customer_id", last.user),
        ("chat", "chat_id", last.chat),
        ("message", "message_id", last.message),
        ("session", "session_id", last.session),
    ] {
        match tx {
            StoreTransaction::Postgres(tx) => {
                let query = query(POSTGRES).bind(table).bind(column).bind(last);
                query.execute(&mut **tx).await?;
            }
            StoreTransaction::Sqlite(tx) => {
                query(FORGET).bind(table).execute(&mut **tx).await?;
                let query = query(SQLITE).bind(table).bind(last);
                query.execute(&mut **tx).await?;
            }
        }
    }
    Ok(())
}

/// The beginning of a statement that stores rows with the ids that they have already; Postgres wants
/// that said where a table makes them itself.
pub(in crate::repository) fn with_given_ids(tx: &StoreTransaction, table: &str) -> String {
    match tx {
        StoreTransaction::Postgres(_) => format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE "),
        StoreTransaction::Sqlite(_) => format!("INSERT INTO {table} "),
    }
}

/// Lets the statements that follow take longer than those of a server may.
pub(in crate::repository) async fn take_any_time(tx: &mut StoreTransaction) -> Result<()> {
    if let StoreTransaction::Postgres(tx) = tx {
        // Whoever takes the rows, or gives them, may pause for as long as it likes.
        for limit in [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ] {
            query(limit).execute(&mut **tx).await?;
        }
    }
    Ok(())
}
