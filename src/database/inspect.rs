//! Inspects a database without a change: its version, the state of its tables, and flaws of its rows.
//! Commands use it before a server starts.

use super::{
    DatabaseTransaction, Target, invariants, migrations, postgres,
    sqlite::{self, LockFile},
    startup_check, takeover,
};
use crate::error::sentence;
use rustix::{
    fs::{Access, access},
    io::Errno,
};
use sqlx::{ConnectOptions, Connection, migrate::Migrator, query_scalar};
use std::{fmt, io, path::Path, time::Duration};

/// The time limit of a check that reads every row.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of an inspection.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The kind of database and its address, and for Postgres its version. Without a password.
    pub place: String,
    /// The state of the tables.
    pub tables: Tables,
    /// True if a running server has locked the SQLite file. Always false for Postgres.
    pub in_use: bool,
}

/// The state of the tables of a database, compared with the migrations of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// The database has no tables of this program yet.
    Missing,
    /// The tables are those of the original program, or have their names, and are not taken over yet.
    Original,
    /// The number of migrations that were not applied yet, at least 1.
    Behind(usize),
    /// All migrations were applied.
    Current,
    /// A later version of this program migrated the tables.
    Newer,
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("none yet; the first start creates them"),
            Self::Original => {
                f.write_str("those of the original program; the first start takes them over")
            }
            Self::Behind(1) => {
                f.write_str("one step behind; the next start brings them up to date")
            }
            Self::Behind(n) => write!(f, "{n} steps behind; the next start brings them up to date"),
            Self::Current => f.write_str("up to date"),
            Self::Newer => f.write_str("of a later version of messaging-api; use that version"),
        }
    }
}

/// Inspects a database. An SQLite file that does not exist counts as a database without tables.
///
/// # Errors
/// A sentence: the database is unreachable or too old, or the file is no database.
pub async fn inspect(target: &Target) -> Result<Inspection, String> {
    match target {
        Target::Postgres(options) => {
            let mut db = postgres::connect(options).await?;
            let version = postgres::version(&mut db).await?;
            let place = postgres::place(options);
            let failed =
                |e: sqlx::Error| format!("cannot read the database {place}: {}", sentence(&e));
            let made = postgres::is_ours(&mut db).await.map_err(failed)?;
            let mut applied: Vec<i64> = Vec::new();
            if made {
                let query = query_scalar(APPLIED).fetch_all(&mut db);
                applied = query.await.map_err(failed)?;
            }
            let original = takeover::is_original(&mut db).await.map_err(failed)?;
            db.close().await.map_err(failed)?;
            Ok(Inspection {
                place: format!("Postgres {} at {place}", version / 10_000),
                tables: match original {
                    true => Tables::Original,
                    false => compare(&applied, &migrations::POSTGRES),
                },
                in_use: false,
            })
        }
        Target::Sqlite(path) => inspect_file(path).await,
    }
}

async fn inspect_file(path: &Path) -> Result<Inspection, String> {
    let place = format!("the SQLite file {}", path.display());
    let failed = |e: sqlx::Error| format!("cannot read {place}: {e}");
    let mut applied: Vec<i64> = Vec::new();
    startup_check::refuse_place(path)?;
    if is_there(path).map_err(|e| format!("cannot read {place}: {e}"))? {
        if !LockFile::is_taken(path) {
            sqlite::recover(path).await.map_err(failed)?;
        }
        let mut db = sqlite::reading(path).connect().await.map_err(failed)?;
        if sqlite::is_ours(&mut db).await.map_err(failed)? {
            let query = query_scalar(APPLIED).fetch_all(&mut db);
            applied = query.await.map_err(failed)?;
        }
        db.close().await.map_err(failed)?;
    }
    Ok(Inspection {
        tables: compare(&applied, &migrations::SQLITE),
        in_use: LockFile::is_taken(path),
        place,
    })
}

/// Returns true if the file exists and can be read. The file is not opened, because closing it would
/// release SQLite's locks on it.
///
/// # Errors
/// The reason why the file cannot be read or searched for.
fn is_there(path: &Path) -> io::Result<bool> {
    match access(path, Access::READ_OK) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Begins a read-only snapshot of a database, without a lock and beside running servers. The tables are
/// not migrated.
///
/// # Errors
/// A sentence: the database is unreachable, or its tables are not those of this version.
pub async fn snapshot(target: &Target) -> Result<DatabaseTransaction, String> {
    let found = inspect(target).await?;
    let place = &found.place;
    match found.tables {
        Tables::Current => {}
        Tables::Missing => return Err(format!("{place} holds no data")),
        Tables::Original | Tables::Behind(_) => {
            return Err(format!(
                "the tables of {place} are of an earlier version: \
                 run messaging-api migrate first, or use that version"
            ));
        }
        Tables::Newer => return Err(format!("the tables of {place} were {}", found.tables)),
    }
    begin_snapshot(target)
        .await
        .map_err(|e| format!("cannot read {place}: {}", sentence(&e)))
}

async fn begin_snapshot(target: &Target) -> Result<DatabaseTransaction, sqlx::Error> {
    match target {
        Target::Postgres(options) => postgres::snapshot(options)
            .await
            .map(|tx| DatabaseTransaction::Postgres(Box::new(tx))),
        Target::Sqlite(path) => sqlite::snapshot(path)
            .await
            .map(DatabaseTransaction::Sqlite),
    }
}

/// Returns the flaws of an inspected database, one sentence per flaw, and changes nothing.
///
/// The flaws of the original program's tables are the obstacles to a takeover. The flaws of current
/// tables are rows that break an invariant. Tables in any other state have no flaws. `None` if the check
/// did not end within `CHECK_TIMEOUT`.
///
/// # Errors
/// A sentence: the database could not be read.
pub async fn flaws_of(target: &Target, found: &Inspection) -> Result<Option<Vec<String>>, String> {
    let checking = async {
        let mut tx = begin_snapshot(target).await?;
        match (found.tables, &mut tx) {
            (Tables::Original, DatabaseTransaction::Postgres(tx)) => takeover::obstacles(tx).await,
            (Tables::Current, tx) => invariants::flaws(tx).await,
            _ => Ok(Vec::new()),
        }
    };
    match found.tables {
        Tables::Original | Tables::Current => {}
        _ => return Ok(Some(Vec::new())),
    }
    match tokio::time::timeout(CHECK_TIMEOUT, checking).await {
        Ok(flaws) => flaws
            .map(Some)
            .map_err(|e| format!("cannot read {}: {}", found.place, sentence(&e))),
        Err(_) => Ok(None),
    }
}

const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";

fn compare(applied: &[i64], migrator: &Migrator) -> Tables {
    let ours: Vec<i64> = migrator.iter().map(|step| step.version).collect();
    let lacking = ours.iter().filter(|step| !applied.contains(step)).count();
    if applied.iter().any(|step| !ours.contains(step)) {
        Tables::Newer
    } else if applied.is_empty() {
        Tables::Missing
    } else if lacking > 0 {
        Tables::Behind(lacking)
    } else {
        Tables::Current
    }
}
