//! Keeps the log of an SQLite file (its WAL) short. SQLite copies it into the file every 1,000 pages
//! and then writes it from its beginning; but it never shortens it, and a reader that stays keeps it
//! growing. Deleted text also stays in the log until it is emptied.

use super::{beside, file_identity::SameFile};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, query, query_as, sqlite::SqliteConnectOptions,
};
use std::{fs, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How often the log is emptied where something was written.
const PERIOD: Duration = Duration::from_secs(5);
/// How long one attempt may take. A large log on a slow disk takes some seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// From this size on, new transactions wait a little for the readers that keep the log from being
/// emptied; under it they never do. Four times what SQLite lets it grow to by itself.
const LARGE: u64 = 16 << 20;
/// For how long they wait then, in milliseconds: most reads are over by then.
const WAIT: &str = "PRAGMA busy_timeout = 100";

/// Empties the log of the file that these options open, again and again, until `stop`.
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
        // A file that has replaced the database would be overwritten with the log of the old one.
        let emptied = match file.check() {
            Ok(()) => time::timeout(LIMIT, empty(options, bytes)).await,
            Err(moved) => Ok(Err(moved.into())),
        };
        // The same failure every five seconds is told once.
        match emptied {
            Ok(Ok(())) => failing = false,
            _ if failing => {}
            Ok(Err(error)) => {
                failing = true;
                tracing::warn!(%error, bytes, "cannot empty the log of the database");
            }
            Err(_) => {
                failing = true;
                tracing::warn!(bytes, "the log of the database is not emptied in time");
            }
        }
    }
}

/// Copies the log into the file, beside everyone else; then empties the log, for which
/// nothing may be written or read from it. Where something is, the next attempt comes soon.
async fn empty(options: &SqliteConnectOptions, bytes: u64) -> Result<(), sqlx::Error> {
    let mut db = options.connect().await?;
    checkpoint(&mut db, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    query("PRAGMA busy_timeout = 0").execute(&mut db).await?;
    let emptied = checkpoint(&mut db, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    if !emptied && bytes > LARGE {
        query(WAIT).execute(&mut db).await?;
        checkpoint(&mut db, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    db.close().await
}

/// Tells whether nothing was in the way.
async fn checkpoint(db: &mut SqliteConnection, how: &'static str) -> Result<bool, sqlx::Error> {
    let rows: Vec<(i64, i64, i64)> = query_as(how).fetch_all(db).await?;
    Ok(rows.iter().all(|(busy, _, _)| *busy == 0))
}
