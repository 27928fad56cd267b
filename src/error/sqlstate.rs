//! Postgres' error codes (SQLSTATE), cut by what a server does about them.
//!
//! Codes that are in neither list stay faults: what was asked for is wrong (classes 0A, 21 to 24, 42,
//! P0), or Postgres itself is (XX), which may concern one row alone and is found out change by change.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Codes, and first characters of codes, of what passes without a change of this server: the database
/// is away, full, busy, read-only, or being restored.
const PASSING: [&str; 18] = [
    // The connection failed.
    "08",      // Read-only: a standby, or by an operator's wish.
    READ_ONLY, // The transaction stood still, or took too long.
    "25P03", "25P04",
    // A prepared statement is gone: a pooler has changed the session behind it.
    "26000",
    // Refused to let this user in, as while a password or pg_hba.conf is changed.
    "28",
    // The database or its tables do not exist, as while it is restored. A server that runs has seen them.
    "3D000", "3F000", "42P01", // Rolled back in favour of another transaction.
    "40",
    // Rights are missing, as while it is restored, or its disk has become read-only.
    "42501", // A prepared statement has the name of another, by a pooler.
    "42P05", // Disk, memory, connections, or a limit of them.
    "53",    // Another uses it.
    "55",
    // An operator: stopped, crashed, cancelled, starting, dropped, idle for too long.
    "57",    // The system beneath: a file or a disk fails.
    "58",    // An old snapshot is gone.
    "72000", // The configuration is wrong, or a lock file is there.
    "F0",
];

/// Codes, and first characters of codes, after which no connection to the same server is used again
/// that was made before: the session is over, or stays read-only after the database is writable.
const SESSION_LOST: [&str; 6] = ["08", "26000", "42P05", "57P", "58", "F0"];

/// Postgres' code where a statement would write and must not.
const READ_ONLY: &str = "25006";

/// Where a lock was not to be had in time.
pub(super) const LOCKED: &str = "55P03";

/// Whether the error passes without a change of this server.
pub(super) fn is_transient(code: &str) -> bool {
    PASSING.iter().any(|class| code.starts_with(class))
}

/// What an error says about the session on which it came, and about others that were made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// It goes on.
    Usable,
    /// It is over, or cannot be relied on.
    Lost,
    /// It can only read. A new one may be able to write.
    ReadOnly,
}

impl Session {
    /// What an error says about the session on which it came.
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

/// Whether Postgres has answered for certain that a COMMIT, or a statement that commits by itself, has
/// stored nothing. It has not where the session or the whole server ends with the error (FATAL, PANIC): the
/// commit may stand in its log by then, and count after a restart. Nor does it where it does not know
/// itself (40003), or the connection failed (08).
pub(super) fn is_not_committed(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|e| is_undone_by(e.severity(), e.code()))
}

fn is_undone_by(severity: PgSeverity, code: &str) -> bool {
    severity == PgSeverity::Error && !code.starts_with("08") && code != "40003"
}

/// Whether a statement was prepared before a table was changed. A new session prepares it again.
pub(super) fn is_outdated_plan(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|e| e.code() == "0A000" && e.routine() == Some("RevalidateCachedQuery"))
}

#[cfg(test)]
mod tests {
    use super::{PgSeverity, is_transient, is_undone_by};

    #[test]
    fn an_error_that_ends_more_than_its_statement_leaves_the_commit_in_doubt() {
        for code in ["40001", "53100", "58030", "23505"] {
            assert!(is_undone_by(PgSeverity::Error, code), "{code}");
            assert!(!is_undone_by(PgSeverity::Fatal, code), "{code}");
            assert!(!is_undone_by(PgSeverity::Panic, code), "{code}");
        }
        assert!(!is_undone_by(PgSeverity::Error, "40003"));
        assert!(!is_undone_by(PgSeverity::Error, "08006"));
        assert!(!is_undone_by(PgSeverity::Fatal, "57P01"));
    }

    /// The codes of each class in the list of Postgres 18, and whether they pass.
    #[test]
    fn every_class_is_sorted() {
        let passing = [
            "08000", "08003", "08006", "08001", "08004", "08007", "08P01", "25006", "25P03",
            "25P04", "26000", "28000", "28P01", "3D000", "3F000", "40000", "40001", "40002",
            "40003", "40P01", "42501", "42P01", "42P05", "53000", "53100", "53200", "53300",
            "53400", "55000", "55006", "55P02", "55P03", "55P04", "57000", "57014", "57P01",
            "57P02", "57P03", "57P04", "57P05", "58000", "58030", "58P01", "58P02", "58P03",
            "72000", "F0000", "F0001",
        ];
        for code in passing {
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
