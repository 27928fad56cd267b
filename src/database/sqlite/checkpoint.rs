//! Truncates the write-ahead log (WAL) of an SQLite file periodically. SQLite checkpoints the log into
//! the file every 1,000 pages and then restarts the log. But SQLite does not truncate it to zero, and a
//! long-running reader lets it grow. Deleted text also remains in the log until a truncation.

use super::{beside, file_identity::SameFile};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, query, query_as, sqlite::SqliteConnectOptions,
};
use std::{fs, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// The interval between two truncations. An empty log is left as it is.
const PERIOD: Duration = Duration::from_secs(5);
/// The time limit of one truncation. A large log on a slow disk takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The size of the log in bytes (16 MiB) above which a truncation waits for readers and blocks new write
/// transactions in this time. Up to this size, no transaction waits for readers. It is four times the
/// size at which SQLite checkpoints by itself.
const LARGE_LOG: u64 = 16 << 20;
/// Sets the maximum wait for readers to 100 ms; most reads end within this time.
const WAIT_FOR_READERS: &str = "PRAGMA busy_timeout = 100";

/// Truncates the log of the file every `PERIOD` until `stop`.
pub(super) async fn run(options: &SqliteConnectOptions, file: &SameFile, stop: &CancellationToken) {
    let log = beside(options.get_filename(), "-wal");
    let mut failing = false;
    while stop
        .run_until_cancelled(time::sleep(PERIOD))
        .await
        .is_some()
    {
        let bytes = fs::metadata(&log).map_or(0, |data| data.len());
        if bytes == 0 {
            continue;
        }
        // If another file replaced the database, a checkpoint would write the old log into it.
        let truncated = match file.check() {
            Ok(()) => time::timeout(TIMEOUT, truncate(options, bytes)).await,
            Err(moved) => Ok(Err(moved.into())),
        };
        // Only the first of several failures in a row is logged.
        match truncated {
            Ok(Ok(())) => failing = false,
            _ if failing => {}
            Ok(Err(error)) => {
                failing = true;
                tracing::warn!(%error, bytes, "cannot empty the write-ahead log of the database");
            }
            Err(_) => {
                failing = true;
                tracing::warn!(
                    bytes,
                    "the write-ahead log of the database is not emptied in time"
                );
            }
        }
    }
}

/// Copies the log into the file and then truncates the log.
///
/// The copy (PASSIVE) runs beside reads and writes. The truncation (TRUNCATE) succeeds only while no
/// transaction uses the log. Otherwise the next attempt follows after `PERIOD`.
async fn truncate(options: &SqliteConnectOptions, bytes: u64) -> Result<(), sqlx::Error> {
    let mut db = options.connect().await?;
    checkpoint(&mut db, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    query("PRAGMA busy_timeout = 0").execute(&mut db).await?;
    let truncated = checkpoint(&mut db, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    if !truncated && bytes > LARGE_LOG {
        query(WAIT_FOR_READERS).execute(&mut db).await?;
        checkpoint(&mut db, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    db.close().await
}

/// Runs a checkpoint. Returns false if a reader or writer kept it from completion.
async fn checkpoint(db: &mut SqliteConnection, how: &'static str) -> Result<bool, sqlx::Error> {
    let rows: Vec<(i64, i64, i64)> = query_as(how).fetch_all(db).await?;
    Ok(rows.iter().all(|(busy, _, _)| *busy == 0))
}
