//! Postgres' error codes (SQLSTATE), classified by the reaction of this server.
//!
//! A code in neither list is an internal error: the statement is wrong (classes 0A, 21 to 24, 42, P0),
//! or Postgres is damaged (XX). Damage may affect a single row, so the writer retries the changes of a
//! failed batch one by one.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Codes, and prefixes of codes, of errors that end without a change of this server: the database is
/// unreachable, full, busy, read-only or being restored.
const TRANSIENT: [&str; 18] = [
    "08",      // The connection failed.
    READ_ONLY, // The database is a standby, or an operator made it read-only.
    "25P03",   // The transaction was idle for too long.
    "25P04",   // The transaction took too long.
    "26000",   // A prepared statement is missing: a pooler replaced the session.
    "28",      // The login was refused, as during a change of a password or of pg_hba.conf.
    "3D000",   // The database is missing, as during a restore; a running server has used it before.
    "3F000",   // The schema is missing, as during a restore.
    "42P01",   // A table is missing, as during a restore.
    "40",      // The transaction was rolled back in favour of another one.
    "42501",   // Rights are missing, as during a restore, or the database's disk became read-only.
    "42P05",   // The name of a prepared statement is already taken in a pooler's session.
    "53",      // Disk space, memory, connections or a limit on them are exhausted.
    "55",      // Another session uses the object.
    "57",      // Cancelled, stopped, crashed, starting up, dropped, or idle for too long.
    "58",      // A file or a disk of the database server failed.
    "72000",   // The snapshot is too old.
    "F0",      // The configuration file is wrong, or a lock file exists.
];

/// Codes, and prefixes of codes, after which every existing connection to Postgres is replaced: the
/// session has ended or is unreliable.
const SESSION_LOST: [&str; 6] = ["08", "26000", "42P05", "57P", "58", "F0"];

/// Postgres' code for a write in a read-only transaction (`read_only_sql_transaction`).
const READ_ONLY: &str = "25006";

/// Postgres' code for a lock that was not acquired before `lock_timeout` (`lock_not_available`).
pub(super) const LOCKED: &str = "55P03";

/// Returns true if the error ends without a change of this server.
pub(super) fn is_transient(code: &str) -> bool {
    TRANSIENT.iter().any(|class| code.starts_with(class))
}

/// The state of a Postgres session after an error, which also applies to all older sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionHealth {
    /// The session can be used further.
    Usable,
    /// The session has ended or is unreliable.
    Lost,
    /// The session can only read. A new session may be able to write.
    ReadOnly,
}

impl SessionHealth {
    /// Derives the state of a session from the error of its last statement.
    #[must_use]
    pub fn after(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Lost,
            sqlx::Error::Database(database) => match database.code() {
                Some(code) if code == READ_ONLY => Self::ReadOnly,
                Some(code) if SESSION_LOST.iter().any(|class| code.starts_with(class)) => {
                    Self::Lost
                }
                _ if is_outdated_plan(error) => Self::Lost,
                _ => Self::Usable,
            },
            _ => Self::Usable,
        }
    }
}

/// Returns true if Postgres' answer to a COMMIT, or to a statement that commits by itself, proves that
/// nothing was stored.
///
/// Three answers prove nothing. An error that ends the session or the server (FATAL, PANIC) may follow a
/// commit record in the write-ahead log, which counts after a restart. With 40003
/// (`statement_completion_unknown`) Postgres does not know the outcome either. With class 08 the
/// connection failed.
pub(super) fn is_not_committed(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|e| proves_rollback(e.severity(), e.code()))
}

fn proves_rollback(severity: PgSeverity, code: &str) -> bool {
    severity == PgSeverity::Error && !code.starts_with("08") && code != "40003"
}

/// Returns true if a statement was prepared before its table was altered. A new session prepares the
/// statement again.
pub(super) fn is_outdated_plan(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|e| e.code() == "0A000" && e.routine() == Some("RevalidateCachedQuery"))
}

#[cfg(test)]
mod tests {
    use super::{PgSeverity, is_transient, proves_rollback};

    #[test]
    fn a_fatal_error_or_an_unknown_outcome_leaves_the_commit_in_doubt() {
        for code in ["40001", "53100", "58030", "23505"] {
            assert!(proves_rollback(PgSeverity::Error, code), "{code}");
            assert!(!proves_rollback(PgSeverity::Fatal, code), "{code}");
            assert!(!proves_rollback(PgSeverity::Panic, code), "{code}");
        }
        assert!(!proves_rollback(PgSeverity::Error, "40003"));
        assert!(!proves_rollback(PgSeverity::Error, "08006"));
        assert!(!proves_rollback(PgSeverity::Fatal, "57P01"));
    }

    /// Covers each class in the list of error codes of Postgres 18.
    #[test]
    fn every_class_is_either_transient_or_lasting() {
        let transient = [
            "08000", "08003", "08006", "08001", "08004", "08007", "08P01", "25006", "25P03",
            "25P04", "26000", "28000", "28P01", "3D000", "3F000", "40000", "40001", "40002",
            "40003", "40P01", "42501", "42P01", "42P05", "53000", "53100", "53200", "53300",
            "53400", "55000", "55006", "55P02", "55P03", "55P04", "57000", "57014", "57P01",
            "57P02", "57P03", "57P04", "57P05", "58000", "58030", "58P01", "58P02", "58P03",
            "72000", "F0000", "F0001",
        ];
        for code in transient {
            assert!(is_transient(code), "{code}");
        }
        let lasting = [
            "00000", "01000", "02000", "03000", "09000", "0A000", "0B000", "0F000", "0L000",
            "0P000", "0Z000", "20000", "21000", "22000", "22021", "22P05", "23000", "23502",
            "23503", "23505", "23514", "24000", "25000", "25001", "25P01", "25P02", "27000",
            "2B000", "2D000", "2F000", "34000", "38000", "39000", "3B000", "42000", "42601",
            "42703", "42804", "44000", "54000", "54001", "HV000", "P0000", "P0001", "XX000",
            "XX001", "XX002",
        ];
        for code in lasting {
            assert!(!is_transient(code), "{code}");
        }
    }
}
