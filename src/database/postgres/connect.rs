//! The way to a Postgres that a server can work with, and what stands in it.

use super::{MIGRATOR, SESSION, pool::PostgresPool};
use crate::{
    database::{sqlite::copy, startup_check, takeover},
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

/// The oldest Postgres that this is tested to understand, as `server_version_num` has it.
const OLDEST: i32 = 13_00_00;
/// How long a server that starts waits for Postgres to answer once.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long it waits before it asks again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a start does not succeed.
struct Failure {
    /// The cause, and what would help.
    message: String,
    /// Whether it may pass by itself.
    passing: bool,
}

/// Opens a pool on a database whose tables are brought up to date. A Postgres that is not there yet,
/// or takes no writes, is waited for.
///
/// # Errors
/// A sentence: what is wrong, and what would help.
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
        if !failure.passing || left.is_zero() {
            return Err(failure.message);
        }
        let seconds = left.as_secs_f64().round();
        tracing::warn!(
            cause = failure.message,
            "Postgres cannot be used yet; it is asked again each second, for {seconds} s more"
        );
        sleep(RETRY.min(left)).await;
    }
}

/// Where a database is, as people may see it: without the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or_default();
    if host.contains(':') {
        return format!("[{host}]:{port}/{database}");
    }
    format!("{host}:{port}/{database}")
}

/// One connection, which is waited for no longer than a start may take.
///
/// # Errors
/// A sentence: what is wrong, and what would help.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, String> {
    try_connect(options).await.map_err(|e| e.message)
}

async fn try_connect(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    let place = place(options);
    match timeout(CONNECT_LIMIT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            let remedy = remedy(&error, options);
            let remedy = remedy.map_or(String::new(), |remedy| format!("; {remedy}"));
            Err(Failure {
                message: format!(
                    "cannot reach Postgres at {place}: {}{remedy}",
                    sentence(&error)
                ),
                passing: passes(&error),
            })
        }
        Err(_) => Err(Failure {
            message: format!("Postgres at {place} does not answer"),
            passing: true,
        }),
    }
}

/// The version, as `server_version_num` has it.
///
/// # Errors
/// A sentence, where it is too old.
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

/// Brings the tables up to date, where a server can work with the database. The migrator holds an
/// advisory lock while it works, so that servers which start together do so one after the other.
async fn prepare(options: &PgConnectOptions) -> Result<(), Failure> {
    let place = place(options);
    let unfit = |message: String| Failure {
        message: format!("cannot use the database {place}: {message}"),
        passing: false,
    };
    let failed = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        let remedy = match code.as_deref() {
            Some("42501") => "; the user must be allowed to make tables there",
            _ => "",
        };
        Failure {
            message: format!(
                "cannot prepare the database {place}: {}{remedy}",
                sentence(error)
            ),
            passing: passes(error),
        }
    };
    check_session(options).await?;
    let mut connection = try_connect(options).await?;
    version(&mut connection).await.map_err(unfit)?;
    if let Err(message) = startup_check::of_postgres(&mut connection).await {
        let passing = is_read_only(&mut connection).await;
        return Err(Failure {
            passing,
            ..unfit(message)
        });
    }
    let migrated = takeover::migrate(&mut connection, &MIGRATOR).await;
    migrated.map_err(|error| {
        let message = format!("cannot prepare the database {place}: {}", sentence(&*error));
        let passing = cause(&*error).is_some_and(passes);
        Failure { message, passing }
    })?;
    let settled = copy::settle_postgres(&mut connection).await;
    settled.map_err(|e| failed(&e))?;
    connection.close().await.map_err(|e| failed(&e))
}

/// Whether the database takes no writes, as a standby does until it is promoted.
async fn is_read_only(connection: &mut PgConnection) -> bool {
    const SQL: &str =
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
    let read_only = sqlx::query_scalar(SQL).fetch_one(connection).await;
    read_only.unwrap_or(true)
}

/// The error of the store behind another.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sqlx::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// Whether a session has what it asks for. A pooler between may refuse to pass it on, or may be told
/// to leave it out.
async fn check_session(options: &PgConnectOptions) -> Result<(), Failure> {
    const SQL: &str = "SELECT current_setting('statement_timeout') = $1 \
                       AND current_setting('default_transaction_isolation') = $2";
    let [(_, statement_limit), .., (_, isolation)] = SESSION;
    let mut connection = try_connect(&options.clone().options(SESSION)).await?;
    let holds = sqlx::query_scalar(SQL)
        .bind(statement_limit)
        .bind(isolation)
        .fetch_one(&mut connection)
        .await;
    let holds: bool = holds.map_err(|error| Failure {
        message: format!(
            "cannot use the database {}: {}",
            place(options),
            sentence(&error)
        ),
        passing: passes(&error),
    })?;
    if !holds {
        tracing::warn!(
            "limits of statements and READ COMMITTED do not reach Postgres: a pooler between leaves \
             them out; name Postgres itself in DATABASE_URL"
        );
    }
    let _ = connection.close().await;
    Ok(())
}

/// Whether what keeps a start from Postgres may pass by itself. What a running server met would
/// mostly pass: there a name or a password was right before.
fn passes(error: &sqlx::Error) -> bool {
    const PASSING: [&str; 8] = ["08", "25", "40", "53", "55", "57", "58", "F0"];
    match error {
        sqlx::Error::Io(e) => !matches!(
            e.kind(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied
        ),
        // A proxy, such as Docker's, that accepts for a server which is not there yet.
        sqlx::Error::Protocol(message) => message.contains("SSLRequest: 0x00"),
        sqlx::Error::Database(e) if is_of_pooler(e.message()) => false,
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            PASSING.iter().any(|class| code.starts_with(class))
        }
        _ => false,
    }
}

/// PgBouncer's words where it does not pass on what a session asks for.
fn is_of_pooler(message: &str) -> bool {
    message.contains("unsupported startup parameter")
        || message.contains("options startup parameter")
}

/// What helps against an error of connecting.
fn remedy(error: &sqlx::Error, options: &PgConnectOptions) -> Option<String> {
    let error = match error {
        sqlx::Error::Tls(_) => return Some(TLS.to_owned()),
        sqlx::Error::Io(e) if e.kind() == ErrorKind::InvalidData => return Some(TLS.to_owned()),
        sqlx::Error::Protocol(_) => {
            return Some("what listens there does not speak as Postgres does".to_owned());
        }
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>()?,
        _ => return None,
    };
    if is_of_pooler(error.message()) {
        return Some(POOLER.to_owned());
    }
    let database = options.get_database().unwrap_or_default();
    match error.code() {
        "28P01" => Some("the user or the password in DATABASE_URL (DB_USER, DB_PASS) is wrong".into()),
        "28000" => Some(
            "Postgres does not let this user in from here: see pg_hba.conf, and whether the user exists"
                .into(),
        ),
        "3D000" => Some(format!(
            "make it with CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0, or name another"
        )),
        "42501" => Some(format!(
            "an administrator must GRANT CONNECT ON DATABASE {database} to the user"
        )),
        _ => None,
    }
}

const TLS: &str =
    "TLS with Postgres fails: see sslmode and sslrootcert of DATABASE_URL (DB_SSLMODE)";
const POOLER: &str = "a pooler such as PgBouncer is between and does not pass on what a session asks \
                      for; name Postgres itself in DATABASE_URL: messaging-api has a pool of its own \
                      (DB_CONNECTIONS)";
