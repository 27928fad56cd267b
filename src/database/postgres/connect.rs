//! Connects to Postgres at a start, checks and migrates the database, and explains failures with advice.

use super::{SESSION, pool::PostgresPool};
use crate::{
    database::{copy, migrations, startup_check, takeover},
    error::sentence,
};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError},
};
use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// The oldest supported version of Postgres, in the format of `server_version_num`.
const OLDEST: i32 = 13_00_00;
/// The time limit of one attempt to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two attempts of a start.
const RETRY: Duration = Duration::from_secs(1);

/// The reason why an attempt to start failed.
struct StartFailure {
    /// The cause and, if known, a remedy.
    message: String,
    /// True if the failure may end by itself, so that another attempt is worthwhile.
    transient: bool,
}

/// Migrates the tables and opens a pool. Retries for at most `wait` while Postgres is unreachable or takes
/// no writes.
///
/// # Errors
/// A sentence with the cause and, if known, a remedy.
pub(crate) async fn open(
    options: &PgConnectOptions,
    connections: u32,
    wait: Duration,
) -> Result<PostgresPool, String> {
    let begun = Instant::now();
    loop {
        let failure = match prepare(options).await {
            Ok(()) => return Ok(PostgresPool::new(options, connections)),
            Err(failure) => failure,
        };
        let left = wait.saturating_sub(begun.elapsed());
        if !failure.transient || left.is_zero() {
            return Err(failure.message);
        }
        let seconds = left.as_secs_f64().round();
        tracing::warn!(
            cause = failure.message,
            "Postgres cannot be used yet; trying again each second for {seconds} more seconds"
        );
        sleep(RETRY.min(left)).await;
    }
}

/// Returns the address of a database for messages, as `host:port/database`, without user and password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or_default();
    if host.contains(':') {
        return format!("[{host}]:{port}/{database}");
    }
    format!("{host}:{port}/{database}")
}

/// Opens one connection within `CONNECT_LIMIT`.
///
/// # Errors
/// A sentence with the cause and, if known, a remedy.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, String> {
    try_connect(options).await.map_err(|e| e.message)
}

async fn try_connect(options: &PgConnectOptions) -> Result<PgConnection, StartFailure> {
    let place = place(options);
    match timeout(CONNECT_LIMIT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            let remedy = remedy(&error, options);
            let remedy = remedy.map_or(String::new(), |remedy| format!("; {remedy}"));
            Err(StartFailure {
                message: format!(
                    "cannot reach Postgres at {place}: {}{remedy}",
                    sentence(&error)
                ),
                transient: is_transient(&error),
            })
        }
        Err(_) => Err(StartFailure {
            message: format!("Postgres at {place} does not answer"),
            transient: true,
        }),
    }
}

/// Returns the version of Postgres in the format of `server_version_num`, such as 160004 for 16.4.
///
/// # Errors
/// A sentence: the version is older than `OLDEST` or cannot be read.
pub(crate) async fn version(connection: &mut PgConnection) -> Result<i32, String> {
    const SQL: &str = "SELECT current_setting('server_version_num')::int";
    let version = sqlx::query_scalar(SQL).fetch_one(connection).await;
    let version: i32 = version.map_err(|e| sentence(&e))?;
    if version < OLDEST {
        return Err(format!(
            "Postgres {} is too old; 13 or later is needed",
            version / 10_000
        ));
    }
    Ok(version)
}

/// Checks that a server can use the database, and migrates its tables. The migrator holds an advisory
/// lock, so that servers that start at once migrate one after another.
async fn prepare(options: &PgConnectOptions) -> Result<(), StartFailure> {
    let place = place(options);
    let unfit = |message: String| StartFailure {
        message: format!("cannot use the database {place}: {message}"),
        transient: false,
    };
    let failed = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        let remedy = match code.as_deref() {
            Some("42501") => "; the user must be allowed to create tables there",
            _ => "",
        };
        StartFailure {
            message: format!(
                "cannot prepare the database {place}: {}{remedy}",
                sentence(error)
            ),
            transient: is_transient(error),
        }
    };
    check_session(options).await?;
    let mut connection = try_connect(options).await?;
    version(&mut connection).await.map_err(unfit)?;
    if let Err(message) = startup_check::of_postgres(&mut connection).await {
        let transient = is_read_only(&mut connection).await;
        return Err(StartFailure {
            transient,
            ..unfit(message)
        });
    }
    let migrated = takeover::migrate(&mut connection, &migrations::POSTGRES).await;
    migrated.map_err(|error| {
        let message = format!("cannot prepare the database {place}: {}", sentence(&*error));
        let transient = sqlx_cause(&*error).is_some_and(is_transient);
        StartFailure { message, transient }
    })?;
    let settled = copy::settle_postgres(&mut connection).await;
    settled.map_err(|e| failed(&e))?;
    connection.close().await.map_err(|e| failed(&e))
}

/// Returns true if the database takes no writes, such as a standby before its promotion. An error counts
/// as read-only.
async fn is_read_only(connection: &mut PgConnection) -> bool {
    const SQL: &str =
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
    let read_only = sqlx::query_scalar(SQL).fetch_one(connection).await;
    read_only.unwrap_or(true)
}

/// Returns the first database error in a chain of causes. `None` if there is none.
fn sqlx_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sqlx::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// Checks that the settings of `SESSION` reach Postgres, and logs a warning if a pooler drops them. A
/// pooler that refuses them is an error.
async fn check_session(options: &PgConnectOptions) -> Result<(), StartFailure> {
    const SQL: &str = "SELECT current_setting('statement_timeout') = $1 \
                       AND current_setting('default_transaction_isolation') = $2";
    let [(_, statement_limit), .., (_, isolation)] = SESSION;
    let mut connection = try_connect(&options.clone().options(SESSION)).await?;
    let holds = sqlx::query_scalar(SQL)
        .bind(statement_limit)
        .bind(isolation)
        .fetch_one(&mut connection)
        .await;
    let holds: bool = holds.map_err(|error| StartFailure {
        message: format!(
            "cannot use the database {}: {}",
            place(options),
            sentence(&error)
        ),
        transient: is_transient(&error),
    })?;
    if !holds {
        tracing::warn!(
            "a pooler between this server and Postgres drops the statement timeout and READ \
             COMMITTED: set DATABASE_URL to the address of Postgres itself"
        );
    }
    let _ = connection.close().await;
    Ok(())
}

/// Returns true if an error of a start may end by itself. This list is shorter than the list for running
/// servers (`sqlstate`): a running server has connected before, so a refused login may be temporary there.
fn is_transient(error: &sqlx::Error) -> bool {
    const TRANSIENT: [&str; 8] = ["08", "25", "40", "53", "55", "57", "58", "F0"];
    match error {
        sqlx::Error::Io(e) => !matches!(
            e.kind(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied
        ),
        // A proxy, such as Docker's, accepts connections before Postgres listens.
        sqlx::Error::Protocol(message) => message.contains("SSLRequest: 0x00"),
        sqlx::Error::Database(e) if is_of_pooler(e.message()) => false,
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            TRANSIENT.iter().any(|class| code.starts_with(class))
        }
        _ => false,
    }
}

/// Returns true if the message is PgBouncer's refusal of session settings.
fn is_of_pooler(message: &str) -> bool {
    message.contains("unsupported startup parameter")
        || message.contains("options startup parameter")
}

/// Returns advice for an error of connecting. `None` if there is no specific advice.
fn remedy(error: &sqlx::Error, options: &PgConnectOptions) -> Option<String> {
    let error = match error {
        sqlx::Error::Tls(_) => return Some(TLS.to_owned()),
        sqlx::Error::Io(e) if e.kind() == ErrorKind::InvalidData => return Some(TLS.to_owned()),
        sqlx::Error::Protocol(_) => {
            return Some(
                "the server at this address is not Postgres: check the host and the port"
                    .to_owned(),
            );
        }
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>()?,
        _ => return None,
    };
    if is_of_pooler(error.message()) {
        return Some(POOLER.to_owned());
    }
    let database = options.get_database().unwrap_or_default();
    match error.code() {
        "28P01" => {
            Some("the user or the password in DATABASE_URL (DB_USER, DB_PASS) is wrong".into())
        }
        "28000" => Some(
            "Postgres refuses this user from this address: check pg_hba.conf, and that the user \
             exists"
                .into(),
        ),
        "3D000" => Some(format!(
            "create it with CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0, or name \
             another database"
        )),
        "42501" => Some(format!(
            "an administrator must GRANT CONNECT ON DATABASE {database} to the user"
        )),
        _ => None,
    }
}

const TLS: &str =
    "TLS with Postgres fails: check sslmode and sslrootcert of DATABASE_URL (DB_SSLMODE)";
const POOLER: &str = "a pooler such as PgBouncer is in between and does not pass on the settings \
                      of a session; set DATABASE_URL to the address of Postgres itself: \
                      messaging-api has its own pool (DB_CONNECTIONS)";
