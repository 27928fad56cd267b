//! Detects at a start whether a database, SQLite or Postgres, is a copy of the one that was served before,
//! such as a restored backup. A copy begins a new epoch of the log, so that clients load their chats
//! again. A restart, a renamed folder and a promoted standby are no copies.

use super::sqlite::beside;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, SqliteConnection, query, query_as, query_scalar};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    time::UNIX_EPOCH,
};
use uuid::Uuid;

/// Queries the identifier of the Postgres cluster. Some hosting providers deny this query to every user, so
/// that all servers of a database find the identifier unknown.
pub(super) const CLUSTER: &str = "SELECT system_identifier FROM pg_control_system()";

/// The placeholder for an unknown part of a place.
const UNKNOWN: &str = "-";

/// Compares the stored place of a Postgres database with its present place, and begins a new epoch if they
/// differ.
///
/// A place is three numbers: the identifier of the cluster, the oid of the database and the oid of the
/// table `log_epoch`. Rows that were loaded from a dump are in a new place. A promoted standby and a
/// restarted base backup keep their place. A null place (a new database) is filled in without a new
/// epoch.
pub(crate) async fn settle_postgres(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    const NUMBERS: &str = "SELECT d.oid::bigint, 'log_epoch'::regclass::oid::bigint \
                           FROM pg_database d WHERE d.datname = current_database()";
    const KNOWN: &str = "SELECT place FROM log_epoch FOR UPDATE";
    const MOVED: &str = "UPDATE log_epoch SET epoch = $1, mark = mark + 1";
    const PLACE: &str = "UPDATE log_epoch SET place = $1";
    let cluster = cluster(&mut *db).await?;
    let (database, table): (i64, i64) = query_as(NUMBERS).fetch_one(&mut *db).await?;
    let cluster = cluster.map_or(UNKNOWN.to_owned(), |id| id.to_string());
    let place = format!("{cluster} {database} {table}");
    let mut tx = db.begin().await?;
    let known: Option<String> = query_scalar(KNOWN).fetch_one(&mut *tx).await?;
    match known {
        Some(known) if is_same(&known, &place) => return tx.commit().await,
        Some(_) => {
            warn();
            let moved = query(MOVED).bind(new_epoch());
            moved.execute(&mut *tx).await?;
        }
        None => {}
    }
    query(PLACE).bind(place).execute(&mut *tx).await?;
    tx.commit().await
}

/// Returns the identifier of the Postgres cluster. `None` if Postgres refuses the query.
pub(crate) async fn cluster<'e, E>(db: E) -> Result<Option<i64>, sqlx::Error>
where
    E: sqlx::Executor<'e, Database = sqlx::Postgres>,
{
    match query_scalar(CLUSTER).fetch_one(db).await {
        Err(sqlx::Error::Database(_)) => Ok(None),
        cluster => cluster.map(Some),
    }
}

/// Returns true if two places agree in all parts that are known in both.
fn is_same(one: &str, other: &str) -> bool {
    let parts = one.split(' ').zip(other.split(' '));
    let mut parts = parts.filter(|(one, other)| *one != UNKNOWN && *other != UNKNOWN);
    parts.all(|(one, other)| one == other)
}

/// Logs that the database is a copy.
fn warn() {
    tracing::warn!(
        "the database file is a copy, such as a restored backup: the log begins a new epoch, and \
         clients load their chats again"
    );
}

/// Returns a new random epoch, as 32 hex digits.
fn new_epoch() -> String {
    #[cfg(feature = "planted-faults")]
    if crate::failpoints::keeps_epoch() {
        return "0".repeat(32);
    }
    Uuid::new_v4().simple().to_string()
}

/// The content of the note file beside an SQLite database: the state of the log at the last note.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The epoch of the log.
    epoch: String,
    /// The mark of the log, a counter that grows while changes are stored.
    mark: i64,
    /// The creation time of the note file, in nanoseconds since 1970. A copy of the note file has a later
    /// creation time. `None` if the file system does not record it.
    made: Option<u64>,
}

/// Reads the epoch and the mark of the log.
const STATE: &str = "SELECT epoch, mark FROM log_epoch";

/// Compares an SQLite file with the note file beside it, begins a new epoch if the database is a copy,
/// and writes a new note.
///
/// The database is a copy in four cases: its mark is lower than the mark of the note, its epoch is not the
/// epoch of the note, the note is missing although the mark shows an earlier start, or the note file was
/// copied.
pub(super) async fn settle_sqlite(
    db: &mut SqliteConnection,
    path: &Path,
) -> Result<(), sqlx::Error> {
    const MOVED: &str = "UPDATE log_epoch SET epoch = $1";
    let (epoch, mark): (String, i64) = query_as(STATE).fetch_one(&mut *db).await?;
    let is_original = match read_note(path) {
        Some((note, made)) => {
            let copied = matches!((note.made, made), (Some(then), Some(now)) if then != now);
            !copied && note.epoch == epoch && note.mark <= mark
        }
        None => mark == 0,
    };
    if !is_original {
        warn();
        let moved = query(MOVED).bind(new_epoch());
        moved.execute(&mut *db).await?;
        forget_note(path);
    }
    match count_on(db).await {
        Ok((epoch, mark)) => write_note(path, &epoch, mark),
        // A start continues without a new mark: it only makes fewer copies detectable.
        Err(error) => {
            tracing::warn!(%error, "cannot advance the mark that detects older copies of the database")
        }
    }
    Ok(())
}

/// Advances the mark at the start and at the end of a server, so that an earlier copy has a lower mark than
/// the file. Returns the epoch and the new mark.
pub(super) async fn count_on(db: &mut SqliteConnection) -> Result<(String, i64), sqlx::Error> {
    const NEXT: &str = "UPDATE log_epoch SET mark = mark + 1";
    query(NEXT).execute(&mut *db).await?;
    query_as(STATE).fetch_one(db).await
}

/// Writes the epoch and the committed mark of the log to the note file. If this fails, the previous note
/// remains. Its lower mark is still correct as a lower bound.
pub(super) fn write_note(path: &Path, epoch: &str, mark: i64) {
    let written = || -> io::Result<()> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(path, NOTE))?;
        let note = Note {
            epoch: epoch.to_owned(),
            mark,
            made: made(&file),
        };
        // Overwrites the note in place, with a fixed length. The file keeps its creation time, and no
        // bytes of the previous note remain.
        let mut text = serde_json::to_string(&note)?;
        text.extend(std::iter::repeat_n(' ', LENGTH.saturating_sub(text.len())));
        file.write_all_at(text.as_bytes(), 0)
    };
    if let Err(error) = written() {
        tracing::debug!(%error, "cannot write the note file beside the database");
    }
}

/// The suffix of the path of the note file.
const NOTE: &str = ".epoch";
/// The length of the note in bytes, padded with spaces. Its three values always fit.
const LENGTH: usize = 160;

/// Returns the note and the creation time of its file. `None` if the note is missing or unreadable. The
/// creation time is `None` if the file system does not record it.
fn read_note(path: &Path) -> Option<(Note, Option<u64>)> {
    let name = beside(path, NOTE);
    let note = serde_json::from_str(&fs::read_to_string(&name).ok()?).ok()?;
    Some((note, made(&File::open(name).ok()?)))
}

/// Removes the note file of another log or a copied note file, so that `write_note` creates a new file.
fn forget_note(path: &Path) {
    if let Err(error) = fs::remove_file(beside(path, NOTE))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "cannot remove the old note file beside the database");
    }
}

/// Returns the creation time of a file in nanoseconds since 1970. `None` if it is not recorded.
fn made(file: &File) -> Option<u64> {
    let made = file.metadata().ok()?.created().ok()?;
    let made = made.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    u64::try_from(made).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_part_agrees_with_every_value() {
        assert!(is_same("7 5 16400", "7 5 16400"));
        assert!(is_same("- 5 16400", "7 5 16400"));
        for other in ["8 5 16400", "7 6 16400", "7 5 16401"] {
            assert!(!is_same("7 5 16400", other), "{other}");
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("test.db");
        assert_eq!(read_note(&path), None);
        write_note(&path, &"e".repeat(32), i64::MAX);
        write_note(&path, &"f".repeat(32), 7);
        let (note, made) = read_note(&path).ok_or(io::ErrorKind::NotFound)?;
        assert_eq!((note.epoch, note.mark), ("f".repeat(32), 7));
        assert_eq!(note.made, made);
        forget_note(&path);
        assert_eq!(read_note(&path), None);
        Ok(())
    }
}
