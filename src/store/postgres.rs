//! Postgres, 13 and later.

use super::{TRUSTED_IDLE, copy, pool, takeover, trial};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::time::Duration;

/// The oldest Postgres that this is tested to understand, as `server_version_num` has it.
const OLDEST: i32 = 13_00_00;
/// How long one statement of a running server may take; the migrations are not bound by it.
const STATEMENT_LIMIT: &str = "10s";
/// How long a statement waits for a row that another server has locked: shorter than a batch may
/// take, so that the writer hears which it was and goes on without it.
const LOCK_LIMIT: &str = "1500ms";
/// How long a transaction may stand still between two statements, which are microseconds apart: a
/// server that was frozen or cut off in the middle of one holds the rows of its chats until then.
const STILL_LIMIT: &str = "5s";
/// When Postgres gives up a server that it does not hear, in seconds: after so long it asks, so
/// often, so many times; and what it has sent must have come after so many milliseconds. Over a
/// Unix socket this says nothing.
const SILENCE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
];
/// How long a server that starts waits for Postgres to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The tables as they came to be, step by step.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// Opens a pool on a database whose tables are brought up to date.
pub(super) async fn open(options: &PgConnectOptions, connections: u32) -> Result<PgPool, String> {
    let connection = connect(options).await?;
    migrate(connection)
        .await
        .map_err(|e| format!("cannot prepare the database {}: {e}", place(options)))?;
    Ok(runtime_pool(options, connections))
}

/// Where a database is, as people may see it: without the password.
pub(super) fn place(options: &PgConnectOptions) -> String {
    format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    )
}

/// One connection, which is waited for no longer than a start may take.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, String> {
    let place = place(options);
    match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(e)) => Err(format!("cannot reach Postgres at {place}: {e}")),
        Err(_) => Err(format!("Postgres at {place} does not answer")),
    }
}

/// The version, as `server_version_num` has it.
pub(super) async fn version(connection: &mut PgConnection) -> Result<i32, String> {
    const SQL: &str = "SELECT current_setting('server_version_num')::int";
    let version = sqlx::query_scalar(SQL).fetch_one(connection).await;
    let version: i32 = version.map_err(|e| e.to_string())?;
    if version < OLDEST {
        return Err(format!(
            "Postgres {} is too old; 13 or later is needed",
            version / 10_000
        ));
    }
    Ok(version)
}

/// A transaction that reads what is committed at its first look and nothing later, for as long as
/// it takes.
pub(super) async fn snapshot(
    options: &PgConnectOptions,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool: PgPoolOptions = pool(1);
    let pool = pool.connect_lazy_with(options.clone());
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
}

/// Brings the tables up to date.
async fn migrate(
    mut connection: PgConnection,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    version(&mut connection).await?;
    trial::of_postgres(&mut connection).await?;
    takeover::migrate(&mut connection, &MIGRATOR).await?;
    copy::settle_postgres(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Whether the database has been migrated before.
pub(super) async fn is_ours(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    sqlx::query_scalar(SQL).fetch_one(connection).await
}

fn runtime_pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    let options = options
        .clone()
        .options([
            ("statement_timeout", STATEMENT_LIMIT),
            ("lock_timeout", LOCK_LIMIT),
            ("idle_in_transaction_session_timeout", STILL_LIMIT),
        ])
        .options(SILENCE);
    let pool: PgPoolOptions = pool(connections).test_before_acquire(false);
    pool.before_acquire(|connection, meta| {
        Box::pin(async move {
            if meta.idle_for > TRUSTED_IDLE {
                connection.ping().await?;
            }
            Ok(true)
        })
    })
    .connect_lazy_with(options)
}
