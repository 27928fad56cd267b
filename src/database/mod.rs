//! The database: Postgres, or the embedded SQLite file. Pools, migrations, and the one place that
//! knows which of the two it is.

mod inspect;
mod invariants;
mod pools;
mod postgres;
mod sqlite;
mod startup_check;
mod takeover;

use crate::{database::sqlite::copy, error::Error};
use chrono::NaiveDateTime;
use sqlite::LockFile;
use sqlx::query;
use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use inspect::{Inspection, Tables, flaws_of, inspect, snapshot};
pub use invariants::{LARGEST, flaws_of_rows};
pub(crate) use pools::Pools;
pub use postgres::{PostgresConnection, PostgresPool, PostgresTransaction};
pub use sqlite::{SqliteDatabase, SqliteTransaction, beside, identity_of};
pub use sqlx::postgres::PgConnectOptions;
pub use startup_check::try_start;

/// How long a query may wait for a connection before the caller hears `unavailable`.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The same for the connections of the writer, which nobody but the database itself can keep: who
/// waits for it must hear soon.
const RESERVED_ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// How long an unused connection may have gone before it is asked whether it still works: a
/// restarted Postgres leaves dead ones behind, and asking every time would double each query.
const PING_AFTER_IDLE: Duration = Duration::from_secs(5);

/// What sends depend on are few statements, made once and run for ever: planning them anew each time,
/// as Postgres does where it hopes for a better plan, took 7 % of the messages of a busy chat.
const GENERIC_PLAN: [(&str, &str); 2] = [("plan_cache_mode", "force_generic_plan"), ("jit", "off")];

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Postgres server.
    Postgres(Box<PgConnectOptions>),
    /// An SQLite file, made where it does not exist.
    Sqlite(PathBuf),
}

impl Target {
    /// Whether a running process has the SQLite file open. False for Postgres, which servers share.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        match self {
            Self::Postgres(_) => false,
            Self::Sqlite(path) => LockFile::is_taken(path),
        }
    }
}

/// An open database. Cloning shares it.
#[derive(Clone)]
pub enum Database {
    /// A pool of connections to Postgres.
    Postgres(PostgresPool),
    /// One writing connection and several reading ones.
    Sqlite(Box<SqliteDatabase>),
}

/// A transaction on either store; dropped without a commit, it is undone.
pub enum DatabaseTransaction {
    /// On Postgres.
    Postgres(Box<PostgresTransaction>),
    /// On the writing connection of SQLite.
    Sqlite(SqliteTransaction),
}

/// Runs one expression on whichever database it is: on its connections for reading (`read`), or
/// inside a transaction (`tx`), as everything that writes is.
macro_rules! on {
    (read $store:expr, |$db:ident| $body:expr) => {
        match $store {
            $crate::database::Database::Postgres($db) => $body,
            $crate::database::Database::Sqlite(embedded) => {
                let $db = embedded.readers();
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
}
pub(crate) use on;

/// The connections to a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: usize,
    /// Of these, the ones that do nothing.
    pub idle: usize,
    /// Most that there may be.
    pub most: usize,
}

impl Database {
    /// Opens the database and brings its tables up to date. Several servers may do so at once on
    /// one Postgres; an SQLite file belongs to one process. A Postgres that is not there yet is
    /// waited for so long.
    ///
    /// # Errors
    /// A sentence for whoever starts the server: unreachable, in use, or too new.
    pub async fn open(target: &Target, connections: u32, wait: Duration) -> Result<Self, String> {
        match target {
            Target::Postgres(options) => {
                let pool = postgres::open(options, connections, wait).await?;
                Ok(Self::Postgres(pool))
            }
            Target::Sqlite(path) => {
                let embedded = SqliteDatabase::open(path, connections).await?;
                Ok(Self::Sqlite(Box::new(embedded)))
            }
        }
    }

    /// So many connections of their own to the same database, for what must not wait behind
    /// everyone's reads. SQLite's are apart already: one writes, the others read.
    #[must_use]
    pub fn priority(&self, connections: u32) -> Self {
        match self {
            Self::Postgres(pool) => {
                Self::Postgres(pool.priority(connections, &GENERIC_PLAN, RESERVED_ACQUIRE_LIMIT))
            }
            Self::Sqlite(embedded) => Self::Sqlite(embedded.clone()),
        }
    }

    /// Keeps the log of an SQLite file short, until `stop`. Postgres does so by itself.
    pub async fn keep_log_short(&self, stop: &CancellationToken) {
        match self {
            Self::Postgres(_) => stop.cancelled().await,
            Self::Sqlite(embedded) => embedded.keep_log_short(stop).await,
        }
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// `unavailable` where no connection is to be had.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        match self {
            Self::Postgres(pool) => {
                let tx = pool.begin("BEGIN").await?;
                Ok(DatabaseTransaction::Postgres(Box::new(tx)))
            }
            Self::Sqlite(embedded) => Ok(DatabaseTransaction::Sqlite(embedded.begin().await?)),
        }
    }

    /// A name that all servers on this database have in common, and those on others do not: which
    /// Postgres it is on, its name and number there, and the moment at which its tables were made.
    /// None for a file, which has one server.
    ///
    /// # Errors
    /// `unavailable` where the database does not answer.
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
        // What tells a restored copy on another Postgres from its original.
        let cluster = copy::cluster(pool).await?.unwrap_or_default();
        let micros = made.and_utc().timestamp_micros();
        // The hash is the same on every server, and keeps the database's name out of NATS.
        let all = format!("{cluster} {number} {name} {micros}");
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, all.as_bytes());
        Ok(Some(hash.simple().to_string()))
    }

    /// Notes beside an SQLite file how far its log is.
    pub async fn note_mark(&self, epoch: &str, mark: i64) {
        if let Self::Sqlite(embedded) = self {
            embedded.note_mark(epoch, mark).await;
        }
    }

    /// How many connections there are; of SQLite, those that read and the one that writes.
    #[must_use]
    pub fn connections(&self) -> Connections {
        match self {
            Self::Postgres(pool) => Connections::of(pool.inner()),
            Self::Sqlite(embedded) => embedded.pools().into_iter().map(Connections::of).sum(),
        }
    }

    /// Closes every connection, after whatever is running on it.
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
    /// Makes it last.
    ///
    /// # Errors
    /// `unavailable`, as in doubt where the store has not said that nothing was stored.
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

/// What a store's readers need, whichever driver: a bounded wait and a bound on connections.
fn pool<DB: sqlx::Database>(connections: u32) -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
}

/// Writes to the store for no other reason than to see whether it can be done.
#[derive(Clone)]
pub struct HealthRepository(Database);

impl HealthRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Makes a small write that lasts, as a message does.
    pub async fn write(&self) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO write_probe (id, writes) VALUES (1, 1) \
                           ON CONFLICT (id) DO UPDATE SET writes = write_probe.writes + 1";
        match &self.0 {
            // By itself: all servers write to one row, which one that is frozen between two
            // statements would keep locked.
            Database::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                query(SQL).execute(&mut connection).await?;
                Ok(())
            }
            Database::Sqlite(_) => {
                let mut tx = self.0.begin().await?;
                on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
                tx.commit().await
            }
        }
    }
}

/// Work that goes on by itself where nobody waits for it any more; its result is dropped then.
pub(super) struct RunToCompletion<F: Future + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future + Send + 'static> RunToCompletion<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future + Send + 'static> Future for RunToCompletion<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        let done = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<F: Future + Send + 'static> Drop for RunToCompletion<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async { drop(work.await) });
        }
    }
}
