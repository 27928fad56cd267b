//! How much is stored, in time that does not grow with it.

use crate::{
    database::{Database, on},
    error::Error,
};
use sqlx::{query_as, query_scalar};

/// Rows that are counted one by one. A table with more is estimated: by Postgres' own statistics, on
/// SQLite by its first and last id.
const COUNTED: i64 = 100_000;

/// Rows of each kind, and the size of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Totals {
    /// Users.
    pub users: i64,
    /// Chats, without those that are deleted.
    pub chats: i64,
    /// Messages, tombstones included.
    pub messages: i64,
    /// Sessions.
    pub sessions: i64,
    /// Bytes of the database.
    pub bytes: i64,
}

/// Reads how much is stored.
#[derive(Clone)]
pub struct TotalsRepository(Database);

/// Counts rows up to `COUNTED`.
macro_rules! counted {
    ($rows:literal) => {
        concat!(
            "(SELECT count(*) FROM (SELECT 1 FROM ",
            $rows,
            " LIMIT 100000) AS counted)"
        )
    };
}

/// Counts each table, and measures the database by `$bytes`.
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

/// A table that may be estimated.
#[derive(Clone, Copy)]
enum Table {
    Users,
    Chats,
    Messages,
    Sessions,
}

impl TotalsRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Rows and bytes.
    pub async fn read(&self) -> Result<Totals, Error> {
        const POSTGRES: &str = totals!("pg_database_size(current_database())");
        const SQLITE: &str =
            totals!("(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())");
        let sql = match &self.0 {
            Database::Postgres(_) => POSTGRES,
            Database::Sqlite(_) => SQLITE,
        };
        let mut totals: Totals = on!(read & self.0, |db| query_as(sql).fetch_one(db).await)?;
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

    async fn estimate(&self, table: Table) -> Result<i64, Error> {
        let (postgres, sqlite) = table.estimates();
        let sql = match &self.0 {
            Database::Postgres(_) => postgres,
            Database::Sqlite(_) => sqlite,
        };
        Ok(on!(read & self.0, |db| query_scalar(sql)
            .fetch_one(db)
            .await)?)
    }
}

/// The rows of a table as Postgres estimates them, and the ids that SQLite has given.
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
    fn estimates(self) -> (&'static str, &'static str) {
        match self {
            Self::Users => estimates!("customer", "customer_id"),
            Self::Chats => estimates!("chat", "chat_id"),
            Self::Messages => estimates!("message", "message_id"),
            Self::Sessions => estimates!("session", "session_id"),
        }
    }
}
