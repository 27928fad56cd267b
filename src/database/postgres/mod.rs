//! Postgres, 13 and later.

mod connect;
mod health;
mod pool;

use super::{PING_AFTER_IDLE, RunToCompletion, pool};
use health::Trust;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{io, time::Duration};
use tokio::time::timeout;

pub(super) use connect::{connect, open, place, version};
pub use pool::{PostgresConnection, PostgresPool, PostgresTransaction};

/// What every connection of a running server asks for, whatever the database or its user has as a
/// default. The migrations are not bound by it.
const SESSION: [(&str, &str); 5] = [
    // How long one statement may take.
    ("statement_timeout", "10s"),
    // How long a statement waits for a row that another server has locked: shorter than a batch may
    // take, so that the writer hears which it was and goes on without it.
    ("lock_timeout", "1500ms"),
    // How long a transaction may stand still between two statements, which are microseconds apart: a
    // server that was frozen or cut off in the middle of one holds the rows of its chats until then.
    ("idle_in_transaction_session_timeout", "5s"),
    // An acknowledged change is on the disk, and on that of a synchronous standby.
    ("synchronous_commit", "on"),
    // What all statements are written for: stricter levels would fail where two servers write to one
    // chat, instead of waiting for each other.
    ("default_transaction_isolation", "read committed"),
];
/// When Postgres gives up a server that it does not hear, in seconds: after so long it asks, so
/// often, so many times; and what it has sent must have come after so many milliseconds. Over a
/// Unix socket this says nothing.
const TCP_KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
];
/// How long a connection may take to show that it works, before it is used.
const PING_LIMIT: Duration = Duration::from_millis(400);
/// How long a connection may take to become free after its use: longer than any statement, which one
/// that was given up goes on with. One that takes longer leads to a server that is no longer there.
const RELEASE_LIMIT: Duration = Duration::from_secs(12);

/// How long the wait for a connection and its BEGIN may take together.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// The tables as they came to be, step by step.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// A transaction that reads what is committed at its first look and nothing later, for as long as
/// it takes.
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

/// Whether the database has been migrated before.
pub(super) async fn is_ours(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    sqlx::query_scalar(SQL).fetch_one(connection).await
}

impl PostgresPool {
    /// Connections for a running server, opened when they are needed.
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

    /// The pool itself, for its figures and its end.
    pub(super) fn inner(&self) -> &PgPool {
        &self.inner
    }

    /// Begins a transaction with this statement. It is not broken off: sqlx would give the connection
    /// back inside a transaction that nobody knows of, and what others store by it would be lost.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
    ) -> Result<PostgresTransaction, sqlx::Error> {
        let pool = self.inner.clone();
        let watch = self.trust.watch(false);
        let begin = async move {
            let begun = timeout(BEGIN_LIMIT, pool.begin_with(statement)).await;
            // The error makes sure that no connection of now is used again.
            begun.unwrap_or_else(|_| Err(silent()))
        };
        let begun = RunToCompletion::new(begin).await;
        watch.settle(&begun);
        Ok(PostgresTransaction {
            writes: false,
            inner: begun?,
            trust: self.trust.clone(),
        })
    }

    /// So many connections of their own, with more settings, and a limit for the wait for one.
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

/// Whether a connection answers in time.
async fn ping(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let answer = timeout(limit, connection.ping()).await;
    answer.unwrap_or_else(|_| Err(silent()))
}

/// The error of a server that does not answer in time.
fn silent() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}
