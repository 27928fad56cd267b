//! The database, Postgres or an embedded SQLite file: connection pools, migrations and transactions.
//! Repositories use `Database` and `DatabaseTransaction`, which hide the difference.

mod copy;
mod inspect;
mod invariants;
mod migrations;
mod pools;
mod postgres;
mod sqlite;
mod startup_check;
mod takeover;

use crate::error::Error;
use chrono::NaiveDateTime;
use sqlite::LockFile;
use sqlx::query;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use inspect::{Inspection, Tables, flaws_of, inspect, snapshot};
pub use invariants::{LARGEST, flaws_of_rows};
pub(crate) use pools::Pools;
pub use postgres::{KeptConnection, PostgresConnection, PostgresPool, PostgresTransaction};
pub use sqlite::{SqliteDatabase, SqliteScript, SqliteTransaction, beside, identity_of};
pub use sqlx::postgres::PgConnectOptions;
pub use startup_check::try_start;

/// The acquire timeout of a pool. A caller that waits longer receives `unavailable`.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The acquire timeout of the priority pool of Postgres. It is shorter than `ACQUIRE_LIMIT`: only a
/// stalled database can exhaust this pool, and senders should receive `unavailable` quickly.
const PRIORITY_ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// The idle time after which a connection is pinged before its next use. A restarted Postgres leaves
/// dead connections behind. A ping before every use would double the round trips of each query.
const PING_AFTER_IDLE: Duration = Duration::from_secs(5);

/// Session setting of the priority pool: generic plans. Sends use a few prepared statements again and again.
/// Postgres may plan a statement for each execution in hope of a better plan, which cost 7 % of the message
/// throughput of a busy chat.
const GENERIC_PLAN: [(&str, &str); 1] = [("plan_cache_mode", "force_generic_plan")];

/// The location of the data, from the configuration.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Postgres server.
    Postgres(Box<PgConnectOptions>),
    /// The path of an SQLite file. The first start creates it.
    Sqlite(PathBuf),
}

impl Target {
    /// Returns true if a running server has the SQLite file open. Always false for Postgres, which
    /// several servers share.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        match self {
            Self::Postgres(_) => false,
            Self::Sqlite(path) => LockFile::is_taken(path),
        }
    }
}

/// An open database. Clones share its connections.
#[derive(Clone)]
pub enum Database {
    /// A pool of connections to Postgres.
    Postgres(PostgresPool),
    /// One writing connection and two pools of read-only connections to an SQLite file.
    Sqlite(Arc<SqliteDatabase>),
}

/// A transaction on Postgres or SQLite. Dropping it without a commit rolls it back.
pub enum DatabaseTransaction {
    /// A transaction on Postgres.
    Postgres(Box<PostgresTransaction>),
    /// A transaction on SQLite: on the writing connection, or on its own connection for a snapshot.
    Sqlite(SqliteTransaction),
}

/// Instantiates one expression for both database drivers and runs the one in use.
///
/// `read` runs the expression on the pool for reads. `tx` runs it inside a transaction; all writes of
/// SQLite need one. `[POSTGRES, SQLITE]` names the two texts of a statement that differs; the expression
/// takes the text in use.
macro_rules! on {
    (read $database:expr, |$db:ident| $body:expr) => {
        match $database {
            $crate::database::Database::Postgres($db) => $body,
            $crate::database::Database::Sqlite(embedded) => {
                let $db = embedded.readers();
                $body
            }
        }
    };
    (read $database:expr, [$postgres:expr, $sqlite:expr], |$sql:ident, $db:ident| $body:expr) => {
        match $database {
            $crate::database::Database::Postgres($db) => {
                let $sql = $postgres;
                $body
            }
            $crate::database::Database::Sqlite(embedded) => {
                let ($sql, $db) = ($sqlite, embedded.readers());
                $body
            }
        }
    };
    (tx $tx:expr, |$db:ident| $body:expr) => {
        match $tx {
            $crate::database::DatabaseTransaction::Postgres(tx) => {
                let $db = &mut **tx;
                $body
            }
            $crate::database::DatabaseTransaction::Sqlite(tx) => {
                let $db = &mut **tx;
                $body
            }
        }
    };
    (tx $tx:expr, [$postgres:expr, $sqlite:expr], |$sql:ident, $db:ident| $body:expr) => {
        match $tx {
            $crate::database::DatabaseTransaction::Postgres(tx) => {
                let ($sql, $db) = ($postgres, &mut **tx);
                $body
            }
            $crate::database::DatabaseTransaction::Sqlite(tx) => {
                let ($sql, $db) = ($sqlite, &mut **tx);
                $body
            }
        }
    };
}
pub(crate) use on;

/// The number of connections to a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// The number of open connections.
    pub open: usize,
    /// The number of open connections that are idle.
    pub idle: usize,
    /// The maximum number of connections.
    pub most: usize,
}

impl Database {
    /// Opens the database and migrates its tables.
    ///
    /// Several servers may migrate one Postgres at once; an SQLite file belongs to one process.
    /// `connections` is the size of the pool; SQLite uses at most four of them for reads. It has one more
    /// connection for writes, and three for reads that must not wait. `wait` is the time to wait for a
    /// Postgres that is unreachable or takes no writes.
    ///
    /// # Errors
    /// A sentence for the operator: the database is unreachable, in use, unfit, or too new.
    pub async fn open(target: &Target, connections: u32, wait: Duration) -> Result<Self, String> {
        match target {
            Target::Postgres(options) => {
                let pool = postgres::open(options, connections, wait).await?;
                Ok(Self::Postgres(pool))
            }
            Target::Sqlite(path) => {
                let embedded = SqliteDatabase::open(path, connections).await?;
                Ok(Self::Sqlite(Arc::new(embedded)))
            }
        }
    }

    /// Creates a priority pool of `connections` connections to this database, for work that must not
    /// queue behind ordinary reads. SQLite has three reading connections of this kind, and its writer is
    /// already separate from its readers.
    #[must_use]
    pub fn priority(&self, connections: u32) -> Self {
        match self {
            Self::Postgres(pool) => {
                Self::Postgres(pool.priority(connections, &GENERIC_PLAN, PRIORITY_ACQUIRE_LIMIT))
            }
            Self::Sqlite(embedded) => Self::Sqlite(Arc::new(embedded.priority())),
        }
    }

    /// Truncates the write-ahead log of an SQLite file periodically, until `stop`. Postgres needs no help
    /// and this method only waits for `stop`.
    pub async fn keep_log_short(&self, stop: &CancellationToken) {
        match self {
            Self::Postgres(_) => stop.cancelled().await,
            Self::Sqlite(embedded) => embedded.keep_log_short(stop).await,
        }
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// `unavailable` if no connection becomes free within the acquire timeout.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        match self {
            Self::Postgres(pool) => {
                let tx = pool.begin("BEGIN").await?;
                Ok(DatabaseTransaction::Postgres(Box::new(tx)))
            }
            Self::Sqlite(embedded) => Ok(DatabaseTransaction::Sqlite(embedded.begin().await?)),
        }
    }

    /// Returns an id that is equal on all servers of this database and different on other databases.
    ///
    /// The id is a hash of the Postgres cluster, the name and the number (oid) of the database, and the
    /// time of its first migration. `None` for SQLite, which has a single server.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn deployment(&self) -> Result<Option<String>, Error> {
        const SQL: &str = "SELECT d.datname::text AS name, d.oid::bigint AS number, \
                           greatest(least(m.installed_on, '9999-12-31 UTC'), '0001-01-01 UTC') \
                               AT TIME ZONE 'UTC' AS made \
                           FROM pg_database d CROSS JOIN _sqlx_migrations m \
                           WHERE d.datname = current_database() ORDER BY m.version LIMIT 1";
        let Self::Postgres(pool) = self else {
            return Ok(None);
        };
        let (name, number, made): (String, i64, NaiveDateTime) =
            sqlx::query_as(SQL).fetch_one(pool).await?;
        // The cluster distinguishes a copy that was restored on another Postgres from its original.
        let cluster = copy::cluster(pool).await?.unwrap_or_default();
        let micros = made.and_utc().timestamp_micros();
        // A hash keeps the name of the database out of NATS subjects.
        let all = format!("{cluster} {number} {name} {micros}");
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, all.as_bytes());
        Ok(Some(hash.simple().to_string()))
    }

    /// Writes the epoch and the mark of the log to the note file beside an SQLite database. Does nothing
    /// on Postgres.
    pub async fn note_mark(&self, epoch: &str, mark: i64) {
        if let Self::Sqlite(embedded) = self {
            embedded.note_mark(epoch, mark).await;
        }
    }

    /// Commits a small write, to show that the database takes writes. The write is as durable as a message.
    ///
    /// # Errors
    /// `unavailable` if the database takes no writes or does not answer.
    pub async fn probe_write(&self) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO write_probe (id, writes) VALUES (1, 1) \
                           ON CONFLICT (id) DO UPDATE SET writes = write_probe.writes + 1";
        match self {
            // One statement without a transaction: all servers write to this row, and a server that
            // is frozen between two statements of a transaction would keep the row locked.
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                query(SQL).execute(&mut connection).await?;
                Ok(())
            }
            Self::Sqlite(_) => {
                let mut tx = self.begin().await?;
                on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
                tx.commit().await
            }
        }
    }

    /// Returns the number of connections. For SQLite it includes all readers and the writer.
    #[must_use]
    pub fn connections(&self) -> Connections {
        match self {
            Self::Postgres(pool) => Connections::of(pool.inner()),
            Self::Sqlite(embedded) => embedded.connections(),
        }
    }

    /// Closes every connection after the statement or transaction that runs on it.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.inner().close().await,
            Self::Sqlite(embedded) => embedded.close().await,
        }
    }
}

impl std::iter::Sum for Connections {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            open: sum.open + one.open,
            idle: sum.idle + one.idle,
            most: sum.most + one.most,
        })
    }
}

impl Connections {
    fn of<DB: sqlx::Database>(pool: &sqlx::Pool<DB>) -> Self {
        Self {
            open: pool.size() as usize,
            idle: pool.num_idle(),
            most: pool.options().get_max_connections() as usize,
        }
    }
}

impl DatabaseTransaction {
    /// Commits the transaction.
    ///
    /// # Errors
    /// The error of an in-doubt commit, unless the database reported that nothing was stored.
    pub async fn commit(self) -> Result<(), Error> {
        let committed = match self {
            Self::Postgres(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        };
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::believes_failed_commits() {
            return Ok(());
        }
        committed.map_err(Error::of_commit)
    }
}

/// Returns the pool options of both drivers: a maximum number of connections and an acquire timeout.
fn pool<DB: sqlx::Database>(connections: u32) -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
}
