//! The connection pool of Postgres 13 and later, its session settings and its timeouts.

mod connect;
mod health;
mod kept;
mod pool;
mod run_to_completion;

use super::{PING_AFTER_IDLE, pool};
use health::Trust;
use run_to_completion::RunToCompletion;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{io, time::Duration};
use tokio::time::timeout;

pub(super) use connect::{connect, open, place, version};
pub use kept::KeptConnection;
pub use pool::{PostgresConnection, PostgresPool, PostgresTransaction};

/// The session settings of every connection of a running server. They override the defaults of the
/// database and its user. Migrations run without them.
const SESSION: [(&str, &str); 7] = [
    // The maximum duration of one statement.
    ("statement_timeout", "10s"),
    // The maximum wait for a row that another server has locked. It is shorter than the time limit of
    // a batch, so that the writer learns of the locked row and continues without it.
    ("lock_timeout", "1500ms"),
    // The maximum time between two statements of a transaction, which are normally microseconds
    // apart. A server that is frozen or cut off within a transaction locks its chats for this time.
    ("idle_in_transaction_session_timeout", "5s"),
    // An acknowledged change is on the disk, and on the disk of a synchronous standby.
    ("synchronous_commit", "on"),
    // A page begins at a key of two columns, and is read in the order of the index on both
    // (repository/mod.rs). An incremental sort would read all rows of a large chat to sort them.
    ("enable_incremental_sort", "off"),
    // Every statement takes milliseconds. Postgres expects more of a lookup in the search index of a large
    // database, and would compile it for longer than it runs.
    ("jit", "off"),
    // All statements assume this level. At a stricter level, two servers that write to one chat would
    // fail instead of waiting for each other.
    ("default_transaction_isolation", "read committed"),
];
/// The TCP settings with which Postgres detects within 25 s that a server is gone. Keepalive: the first
/// probe after 10 s of silence, then every 5 s, three probes in total. `tcp_user_timeout`: the maximum
/// time in milliseconds until sent data is acknowledged. Unix sockets ignore these settings.
const TCP_KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
];
/// The time limit of a ping before a connection is used.
const PING_LIMIT: Duration = Duration::from_millis(400);
/// The time limit of a ping after a connection was used. A cancelled caller may leave a running statement
/// behind, so the limit is longer than `statement_timeout`. After the limit, the database server is
/// considered gone.
const RELEASE_LIMIT: Duration = Duration::from_secs(12);

/// The time limit of a wait for a connection plus its BEGIN.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// Begins a read-only transaction that sees the commits before its first query and none after it. It has
/// no time limits, because it uses none of the settings of `SESSION`.
pub(super) async fn snapshot(
    options: &PgConnectOptions,
) -> Result<PostgresTransaction, sqlx::Error> {
    let pool: PgPoolOptions = pool(1);
    let pool = PostgresPool {
        inner: pool.connect_lazy_with(options.clone()),
        trust: Trust::new(options.clone()),
    };
    pool.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
}

/// Returns true if the database was migrated by this program before.
pub(super) async fn is_ours(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    sqlx::query_scalar(SQL).fetch_one(connection).await
}

impl PostgresPool {
    /// Creates the pool of a running server. Connections are opened on demand.
    ///
    /// A connection is discarded if it is older than the last loss of the server. It is pinged before use
    /// if it is idle for `PING_AFTER_IDLE` or in doubt, and after every use.
    fn new(options: &PgConnectOptions, connections: u32) -> Self {
        let options = options.clone().options(SESSION).options(TCP_KEEPALIVE);
        let trust = Trust::new(options.clone());
        let (acquired, released) = (trust.clone(), trust.clone());
        let pool: PgPoolOptions = pool(connections).test_before_acquire(false);
        let pool = pool.before_acquire(move |connection, meta| {
            let trust = acquired.clone();
            Box::pin(async move {
                if !trust.covers(meta.age) {
                    return Ok(false);
                }
                if meta.idle_for > PING_AFTER_IDLE || trust.doubts(meta.idle_for) {
                    let works = ping(connection, PING_LIMIT).await;
                    works.inspect_err(|_| trust.lose())?;
                }
                Ok(true)
            })
        });
        let pool = pool.after_release(move |connection, meta| {
            let trust = released.clone();
            Box::pin(async move {
                if !trust.covers(meta.age) {
                    return Ok(false);
                }
                ping(connection, RELEASE_LIMIT).await?;
                Ok(true)
            })
        });
        Self {
            inner: pool.connect_lazy_with(options),
            trust,
        }
    }

    /// Returns the inner pool, for its metrics and its close.
    pub(super) fn inner(&self) -> &PgPool {
        &self.inner
    }

    /// Begins a transaction with this statement.
    ///
    /// BEGIN runs to completion even if the caller is cancelled. Otherwise sqlx could return the
    /// connection to the pool inside an open transaction, and later writes on it would be lost.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
    ) -> Result<PostgresTransaction, sqlx::Error> {
        let pool = self.inner.clone();
        let watch = self.trust.watch(false);
        let begin = async move {
            let begun = timeout(BEGIN_LIMIT, pool.begin_with(statement)).await;
            // This error counts as a lost session, so all existing connections are replaced.
            begun.unwrap_or_else(|_| Err(timed_out()))
        };
        let begun = RunToCompletion::new(begin).await;
        watch.settle(&begun);
        Ok(PostgresTransaction {
            writes: false,
            inner: begun?,
            trust: self.trust.clone(),
        })
    }

    /// Creates another pool of this database, with additional session settings and the acquire timeout
    /// `wait`. It shares the state of trust with this pool.
    pub(super) fn priority(
        &self,
        connections: u32,
        settings: &[(&str, &str)],
        wait: Duration,
    ) -> Self {
        let options = self.inner.options().clone();
        let options = options.max_connections(connections).acquire_timeout(wait);
        let target = (*self.inner.connect_options()).clone();
        Self {
            inner: options.connect_lazy_with(target.options(settings.iter().copied())),
            trust: self.trust.clone(),
        }
    }
}

/// Checks that a connection answers a ping within `limit`.
async fn ping(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let answer = timeout(limit, connection.ping()).await;
    answer.unwrap_or_else(|_| Err(timed_out()))
}

/// Returns the error for a database server that does not answer in time.
fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}
