//! Whether a database is the one that was served before, or a copy of it that was put in its place: a
//! backup that was restored. A copy begins another epoch of the log. A restart, another name of the
//! folder and a standby that takes over are no copies.

use super::beside;
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

/// Which Postgres it is. Some providers keep it to themselves, from all servers alike.
pub(super) const CLUSTER: &str = "SELECT system_identifier FROM pg_control_system()";

/// Stands for a part of the place that is not known.
const UNKNOWN: &str = "-";

/// Compares the place that a Postgres database was written in with the one it is in: the cluster, the
/// database's number, the table's number. Rows that were loaded from a dump find another; a standby
/// that takes over, or a base backup that is started again, the same.
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
            let moved = query(MOVED).bind(another());
            moved.execute(&mut *tx).await?;
        }
        None => {}
    }
    query(PLACE).bind(place).execute(&mut *tx).await?;
    tx.commit().await
}

/// The cluster's own number, where it is told.
pub(crate) async fn cluster<'e, E>(db: E) -> Result<Option<i64>, sqlx::Error>
where
    E: sqlx::Executor<'e, Database = sqlx::Postgres>,
{
    match query_scalar(CLUSTER).fetch_one(db).await {
        Err(sqlx::Error::Database(_)) => Ok(None),
        cluster => cluster.map(Some),
    }
}

/// Whether two places are the same, as far as both are known.
fn is_same(one: &str, other: &str) -> bool {
    let parts = one.split(' ').zip(other.split(' '));
    let mut parts = parts.filter(|(one, other)| *one != UNKNOWN && *other != UNKNOWN);
    parts.all(|(one, other)| one == other)
}

fn warn() {
    tracing::warn!(
        "the database is a copy that was put here: the log begins another epoch, and clients load \
         their chats again"
    );
}

/// An epoch unlike all others.
fn another() -> String {
    #[cfg(feature = "planted-faults")]
    if crate::failpoints::keeps_epoch() {
        return "0".repeat(32);
    }
    Uuid::new_v4().simple().to_string()
}

/// What stands beside an SQLite file: how far its log was, and when this note was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    epoch: String,
    mark: i64,
    /// When the note's own file was made, in nanoseconds since 1970: a copy of it is younger. None
    /// where the file system does not tell.
    made: Option<u64>,
}

const STATE: &str = "SELECT epoch, mark FROM log_epoch";

/// Compares an SQLite file with the note beside it. The file is a copy where it is older than the
/// note, or of another log; where the note is missing although there was one; and where the note
/// itself was copied.
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
        let moved = query(MOVED).bind(another());
        moved.execute(&mut *db).await?;
        forget_note(path);
    }
    match count_on(db).await {
        Ok((epoch, mark)) => write_note(path, &epoch, mark),
        // No reason to stop: less is told apart.
        Err(error) => tracing::warn!(%error, "the mark of the log was not moved on"),
    }
    Ok(())
}

/// Moves the mark on, at the start and at the end, so that a copy that was made before is told from one
/// that is made from here on; gives the epoch and the mark.
pub(super) async fn count_on(db: &mut SqliteConnection) -> Result<(String, i64), sqlx::Error> {
    const NEXT: &str = "UPDATE log_epoch SET mark = mark + 1";
    query(NEXT).execute(&mut *db).await?;
    query_as(STATE).fetch_one(db).await
}

/// Notes how far the log is, once that is committed. Where it cannot be written the older note stands,
/// which is less than the truth and so no lie.
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
        // In its place and of one length: the file stays the same one, and is never half of two.
        let mut text = serde_json::to_string(&note)?;
        text.extend(std::iter::repeat_n(' ', LENGTH.saturating_sub(text.len())));
        file.write_all_at(text.as_bytes(), 0)
    };
    if let Err(error) = written() {
        tracing::debug!(%error, "the note beside the database was not written");
    }
}

/// The suffix of the note's name.
const NOTE: &str = ".epoch";
/// The length of the note, in bytes: more than its three values take.
const LENGTH: usize = 160;

/// The note, and when its file was made, if both can be read.
fn read_note(path: &Path) -> Option<(Note, Option<u64>)> {
    let name = beside(path, NOTE);
    let note = serde_json::from_str(&fs::read_to_string(&name).ok()?).ok()?;
    Some((note, made(&File::open(name).ok()?)))
}

/// The note of another log, or a copied one, is replaced by a file of its own.
fn forget_note(path: &Path) {
    if let Err(error) = fs::remove_file(beside(path, NOTE))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "the old note beside the database stays");
    }
}

fn made(file: &File) -> Option<u64> {
    let made = file.metadata().ok()?.created().ok()?;
    let made = made.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    u64::try_from(made).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_differs_from_nothing() {
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
