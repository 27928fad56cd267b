//! Totals for metrics and statistics: row counts and database size, read in bounded time. Large tables are
//! estimated.

use super::row::from_row;
use crate::{
    database::{Database, on},
    error::Error,
};
use sqlx::{query_as, query_scalar};

/// Maximum number of rows that are counted exactly. A larger table is estimated: on Postgres from the planner
/// statistics, on SQLite from the first and last id. An estimate includes deleted chats.
const COUNTED: i64 = 100_000;

/// Number of rows of each kind, exact below 100,000 and estimated above, and the size of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Number of users.
    pub users: i64,
    /// Number of chats, deleted chats excluded unless the number is an estimate.
    pub chats: i64,
    /// Number of messages, tombstones included.
    pub messages: i64,
    /// Number of sessions.
    pub sessions: i64,
    /// Size of the database, in bytes.
    pub bytes: i64,
}

from_row!(Totals {
    users,
    chats,
    messages,
    sessions,
    bytes
});

/// Reads the totals of the database.
#[derive(Clone, Copy)]
pub struct TotalsRepository<'a>(pub(super) &'a Database);

/// Builds a subquery that counts rows up to the value of `COUNTED`.
macro_rules! counted {
    ($rows:literal) => {
        concat!(
            "(SELECT count(*) FROM (SELECT 1 FROM ",
            $rows,
            " LIMIT 100000) AS counted)"
        )
    };
}

/// Builds the query for all totals. `$bytes` is the expression for the size of the database.
macro_rules! totals {
    ($bytes:literal) => {
        concat!(
            "SELECT ",
            counted!("customer"),
            " AS users, ",
            counted!("chat WHERE deleted_at IS NULL"),
            " AS chats, ",
            counted!("message"),
            " AS messages, ",
            counted!("session"),
            " AS sessions, ",
            $bytes,
            " AS bytes"
        )
    };
}

/// A table with a row count that may be estimated.
#[derive(Clone, Copy)]
enum Table {
    Users,
    Chats,
    Messages,
    Sessions,
}

impl TotalsRepository<'_> {
    /// Returns the totals of the database.
    pub async fn read(self) -> Result<Totals, Error> {
        const POSTGRES: &str = totals!("pg_database_size(current_database())");
        const SQLITE: &str =
            totals!("(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())");
        let mut totals: Totals = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .fetch_one(db)
            .await)?;
        for (table, total) in [
            (Table::Users, &mut totals.users),
            (Table::Chats, &mut totals.chats),
            (Table::Messages, &mut totals.messages),
            (Table::Sessions, &mut totals.sessions),
        ] {
            if *total >= COUNTED {
                *total = self.estimate(table).await?.max(*total);
            }
        }
        Ok(totals)
    }

    /// Returns an estimate of the number of rows in a table.
    async fn estimate(self, table: Table) -> Result<i64, Error> {
        let (postgres, sqlite) = table.estimates();
        let found = on!(read self.0, [postgres, sqlite], |sql, db| query_scalar(sql)
            .fetch_one(db)
            .await)?;
        Ok(found)
    }
}

/// Builds the estimate queries of a table, first for Postgres, then for SQLite. The SQLite estimate is the
/// span of ids, so deleted rows count.
macro_rules! estimates {
    ($table:literal, $id:literal) => {
        (
            concat!(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = '",
                $table,
                "'::regclass"
            ),
            concat!(
                "SELECT (SELECT max(",
                $id,
                ") FROM ",
                $table,
                ") - (SELECT min(",
                $id,
                ") FROM ",
                $table,
                ") + 1"
            ),
        )
    };
}

impl Table {
    /// Returns the estimate queries for Postgres and for SQLite.
    fn estimates(self) -> (&'static str, &'static str) {
        match self {
            Self::Users => estimates!("customer", "customer_id"),
            Self::Chats => estimates!("chat", "chat_id"),
            Self::Messages => estimates!("message", "message_id"),
            Self::Sessions => estimates!("session", "session_id"),
        }
    }
}
