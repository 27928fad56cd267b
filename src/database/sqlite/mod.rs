//! The embedded SQLite file: nothing to install, one process at a time.

mod checkpoint;
pub(crate) mod copy;
mod file_identity;
mod lock_file;
mod writer;

use super::{pool, startup_check};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    query, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task;
use tokio_util::sync::CancellationToken;
use writer::OneWriter;

pub use file_identity::identity_of;
pub(crate) use lock_file::LockFile;
pub use writer::SqliteTransaction;

/// SQLite's own wait for a lock that a checkpoint or a backup may hold for a moment.
const BUSY_LIMIT: Duration = Duration::from_secs(2);
/// How many bytes of the log are left when it is begun again, beside what `checkpoint` takes: so much
/// as SQLite lets it grow to by itself, 1,000 pages of 4 KiB.
const LOG_LEFT: &str = "4194304";
/// Most reading connections: each is a thread with a page cache of its own.
const MAX_READERS: u32 = 4;

/// The tables as they came to be, step by step.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// An open SQLite file: WAL, synchronous FULL, foreign keys on. One connection writes: with more,
/// they would wait for each other's locks by polling. The others only read.
#[derive(Clone)]
pub struct SqliteDatabase {
    /// How its connections are opened.
    options: SqliteConnectOptions,
    writer: OneWriter,
    readers: SqlitePool,
    /// Where the file is.
    path: Arc<Path>,
    /// Held until the database is closed, so that no second process opens the file.
    lock: Arc<LockFile>,
}

impl SqliteDatabase {
    /// Opens the file, makes it where it is missing, and migrates it. A start that fails leaves
    /// nothing behind that it made.
    ///
    /// # Errors
    /// A sentence: the folder cannot be made, another process has the file, it is not ours, or it
    /// cannot be written.
    pub async fn open(path: &Path, connections: u32) -> Result<Self, String> {
        startup_check::refuse_place(path)?;
        let folders = missing_folders(path);
        // For its owner alone: it holds hashes of passwords, and what people wrote.
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        let made = folders
            .first()
            .map_or(Ok(()), |folder| private.create(folder));
        let opened = match made {
            Ok(()) => Self::open_locked(path, connections).await,
            Err(e) => Err(format!("cannot make the folder of {}: {e}", path.display())),
        };
        if opened.is_err() {
            for folder in folders {
                // Only an empty one can be removed; one that stays does no harm.
                let _ = fs::remove_dir(folder);
            }
        }
        opened
    }

    async fn open_locked(path: &Path, connections: u32) -> Result<Self, String> {
        let lock = LockFile::take(path)?;
        let is_new = !path.exists();
        let opened = open_file(path, connections).await;
        if opened.is_err() {
            for file in files(path).iter().filter(|_| is_new) {
                // A file that is missing needs no removal.
                let _ = fs::remove_file(file);
            }
            lock.remove_if_made();
        }
        let (options, writer, readers) = opened?;
        Ok(Self {
            options,
            writer,
            readers,
            path: path.into(),
            lock: Arc::new(lock),
        })
    }

    /// Keeps the log short until `stop`.
    pub(super) async fn keep_log_short(&self, stop: &CancellationToken) {
        checkpoint::run(&self.options, self.writer.file(), stop).await;
    }

    /// Begins a transaction on the connection that writes. Deferred, it would fail at its first
    /// write if another had written since its first read, instead of waiting.
    pub(super) async fn begin(&self) -> Result<SqliteTransaction, sqlx::Error> {
        self.writer.begin("BEGIN IMMEDIATE").await
    }

    /// The connections that only read.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The readers' pool and the writer's.
    pub(super) fn pools(&self) -> [&SqlitePool; 2] {
        [&self.readers, self.writer.pool()]
    }

    /// Notes beside the file how far its log is.
    pub(super) async fn note_mark(&self, epoch: &str, mark: i64) {
        let (path, epoch) = (Arc::clone(&self.path), epoch.to_owned());
        let noting = task::spawn_blocking(move || copy::write_note(&path, &epoch, mark));
        if let Err(error) = noting.await {
            tracing::debug!(%error, "the note beside the database was not written");
        }
    }

    /// Moves the mark of the log on for the last time, so that a copy that was made before is told from
    /// the file as it is left.
    async fn count_on(&self) {
        let counted = async {
            let mut tx = self.begin().await?;
            let (epoch, mark) = copy::count_on(&mut tx).await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>((epoch, mark))
        };
        match counted.await {
            Ok((epoch, mark)) => self.note_mark(&epoch, mark).await,
            Err(error) => tracing::warn!(%error, "the mark of the log was not moved on"),
        }
    }

    /// Closes the readers, then the writer, which folds the log into the file, and lets others in.
    pub async fn close(&self) {
        self.readers.close().await;
        self.count_on().await;
        self.writer.pool().close().await;
        if let Err(error) = self.lock.release() {
            tracing::warn!(%error, "cannot unlock the database; it is free when this process ends");
        }
    }
}

/// The folders above a file that are missing, the innermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    let above = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    above.map(Path::to_owned).collect()
}

/// A database and what SQLite keeps beside it.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| beside(path, end))
}

/// Prepares the file and opens its connections. Nothing of a file is changed, not even its kind of
/// log, before it is known to be ours or empty.
async fn open_file(
    path: &Path,
    connections: u32,
) -> Result<(SqliteConnectOptions, OneWriter, SqlitePool), String> {
    let shown = path.display();
    let open_error = |e: sqlx::Error| format!("cannot open the database {shown}: {e}");
    startup_check::refuse_foreign(path).await?;
    if !path.exists() {
        // SQLite would make it readable by everyone. Its log and its index take over the mode.
        private()
            .open(path)
            .map_err(|e| format!("cannot open the database {shown}: {e}"))?;
    }
    let mut connection = options(path)
        .foreign_keys(true)
        .connect()
        .await
        .map_err(open_error)?;
    migrate(&mut connection)
        .await
        .map_err(|e| format!("cannot migrate the database {shown}: {e}"))?;
    startup_check::write(path, &mut connection).await?;
    copy::settle_sqlite(&mut connection, path)
        .await
        .map_err(open_error)?;
    // A file that goes while the server runs is not made again: it would be empty. Deleted text
    // is overwritten, in the file and with the next emptying of the log.
    let options = options(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", LOG_LEFT);
    let writer = options.connect().await.map_err(open_error)?;
    let readers = pool(connections.min(MAX_READERS))
        .connect_with(options.clone().read_only(true))
        .await
        .map_err(open_error)?;
    writer.close().await.map_err(open_error)?;
    connection.close().await.map_err(open_error)?;
    Ok((options.clone(), OneWriter::new(options), readers))
}

/// Brings the tables up to date: those of a new file all at once or not at all.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    if is_ours(connection).await? {
        return MIGRATOR.run(connection).await;
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATOR.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Whether the file has been migrated before.
pub(super) async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT count(*) > 0 FROM sqlite_master WHERE name = '_sqlx_migrations'";
    query_scalar(SQL).fetch_one(connection).await
}

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_LIMIT)
}

/// A connection to a file that is there, for reading alone: it needs no lock, because a reader and
/// the one writer of a file in WAL mode do not disturb each other, whichever process they are in.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).create_if_missing(false)
}

/// Rolls back the transaction that a killed process left in a file. Only a file outside WAL mode has one, in
/// its rollback journal: the file of an interrupted first start, or a copy. SQLite opens such a file for
/// reading only after the rollback. A file without a journal is not opened.
pub(super) async fn recover(path: &Path) -> Result<(), sqlx::Error> {
    let journal = fs::metadata(beside(path, "-journal"));
    if journal.is_err() {
        return Ok(());
    }
    let mut db = options(path).create_if_missing(false).connect().await?;
    query("SELECT count(*) FROM sqlite_master")
        .execute(&mut db)
        .await?;
    db.close().await
}

/// A transaction that reads what is committed at its first look and nothing later.
pub(super) async fn snapshot(path: &Path) -> Result<SqliteTransaction, sqlx::Error> {
    OneWriter::new(reading(path)).begin("BEGIN").await
}

/// The name of a file beside the database: `<path><suffix>`. A symbolic link is followed, as SQLite does for
/// its log, so that all links to a database share one lock.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let linked = fs::canonicalize(path).ok().filter(|_| path.is_symlink());
    let mut name = linked.unwrap_or_else(|| path.to_owned()).into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a file for writing, and makes it for its owner alone where it is missing.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}
