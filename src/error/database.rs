//! Converts errors of the database into errors for the caller.

use super::{Error, sqlstate};

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self {
                cause: Some(error.into()),
                ..Self::unavailable()
            }
        } else {
            Self::internal(error)
        }
    }
}

/// Maps a violated constraint to an error for the caller.
pub trait OnConstraint<T> {
    /// Replaces the violation of a unique constraint with `error`.
    ///
    /// # Errors
    /// `error` if a unique constraint refused the row, otherwise the conversion of the database's error.
    fn on_unique(self, error: impl FnOnce() -> Error) -> Result<T, Error>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_unique(self, error: impl FnOnce() -> Error) -> Result<T, Error> {
        self.map_err(|e| match e.as_database_error() {
            Some(cause) if cause.is_unique_violation() => error(),
            _ => e.into(),
        })
    }
}

/// Returns true if the database is unreachable, full or busy, and false if this server is at fault.
///
/// The module `sqlstate` lists the codes of Postgres, `TRANSIENT` those of SQLite.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| match code.len() {
            5 => sqlstate::is_transient(&code) || sqlstate::is_outdated_plan(error),
            _ => sqlite_code(&code).is_some_and(|code| TRANSIENT.contains(&code)),
        }),
        _ => false,
    }
}

/// SQLite's primary codes of errors that end without a change of this server: PERM, ABORT (a rollback
/// in between), BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT (also reported for a page that
/// the disk could not read), FULL, CANTOPEN (missing rights, or no file handle left), PROTOCOL (a race
/// for a lock) and NOTADB (a file that is being replaced).
const TRANSIENT: [u32; 13] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26];
/// SQLite's primary codes after which a COMMIT has certainly stored nothing: BUSY, LOCKED and
/// CONSTRAINT. After any other code, such as IOERR or FULL, the write-ahead log may hold the whole
/// transaction, and a restart applies it.
const NOT_COMMITTED: [u32; 3] = [5, 6, 19];

/// Returns the primary code of an SQLite code, which may be an extended one. `None` if it is no number.
fn sqlite_code(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Returns true if the error of a COMMIT, or of a statement that commits by itself, proves that nothing
/// was stored.
#[must_use]
pub fn is_not_committed(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let of_sqlite = code.and_then(|code| sqlite_code(&code).filter(|_| code.len() != 5));
    sqlstate::is_not_committed(error) || of_sqlite.is_some_and(|code| NOT_COMMITTED.contains(&code))
}
