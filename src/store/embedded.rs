//! The embedded SQLite file: nothing to install, one process at a time.

use super::{SqliteTransaction, copy, one_writer::OneWriter, pool};
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task;

/// SQLite's own wait for a lock that a checkpoint or a backup may hold for a moment.
const BUSY_LIMIT: Duration = Duration::from_secs(2);
/// Most reading connections: each is a thread with a page cache of its own.
const MAX_READERS: u32 = 4;

/// The tables as they came to be, step by step.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// An open SQLite file: WAL, synchronous FULL, foreign keys on. One connection writes: with more,
/// they would wait for each other's locks by polling. The others only read.
#[derive(Clone)]
pub struct Embedded {
    writer: OneWriter,
    readers: SqlitePool,
    /// Where the file is.
    path: Arc<Path>,
    /// Held until the database is closed, so that no second process opens the file.
    lock: Arc<File>,
}

impl Embedded {
    /// Opens the file, makes it where it is missing, and migrates it.
    ///
    /// # Errors
    /// A sentence: the folder cannot be made, another process has the file, or it is not ours.
    pub async fn open(path: &Path, connections: u32) -> Result<Self, String> {
        let shown = path.display();
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            // For its owner alone: it holds hashes of passwords, and what people wrote.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|e| format!("cannot make the folder of {shown}: {e}"))?;
        }
        let lock = lock(path)?;
        // SQLite would make it readable by everyone. Its log and its index take over the mode.
        private()
            .open(path)
            .map_err(|e| format!("cannot open the database {shown}: {e}"))?;
        let options = options(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let open_error = |e: sqlx::Error| format!("cannot open the database {shown}: {e}");
        let mut connection = options.connect().await.map_err(open_error)?;
        MIGRATOR
            .run(&mut connection)
            .await
            .map_err(|e| format!("cannot migrate the database {shown}: {e}"))?;
        copy::settle_sqlite(&mut connection, path)
            .await
            .map_err(open_error)?;
        // A file that goes while the server runs is not made again: it would be empty.
        let options = options.create_if_missing(false);
        let writer = OneWriter::new(options.clone());
        let readers = pool(connections.min(MAX_READERS))
            .connect_with(options.read_only(true))
            .await
            .map_err(open_error)?;
        connection.close().await.map_err(open_error)?;
        Ok(Self {
            writer,
            readers,
            path: path.into(),
            lock: Arc::new(lock),
        })
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
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the database; it is free when this process ends");
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_LIMIT)
}

/// A connection to a file that is there, for reading alone: it needs no lock, because a reader and
/// the one writer of a file in WAL mode do not disturb each other, whichever process they are in.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).create_if_missing(false)
}

/// A transaction that reads what is committed at its first look and nothing later.
pub(super) async fn snapshot(path: &Path) -> Result<SqliteTransaction, sqlx::Error> {
    OneWriter::new(reading(path)).begin("BEGIN").await
}

/// Whether a running process has the file. Its lock is looked for without making one.
pub(super) fn is_in_use(path: &Path) -> bool {
    match File::open(lock_name(path)) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

fn lock_name(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// The name of a file beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a file for writing, and makes it for its owner alone where it is missing.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

/// Takes the lock file beside the database. SQLite itself would let a second process in, and two
/// servers that number one chat's changes would not know of each other.
fn lock(path: &Path) -> Result<File, String> {
    let name = lock_name(path);
    let file = private()
        .open(&name)
        .map_err(|e| format!("cannot open the lock file {}: {e}", name.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "the database {} is in use by another messaging-api; \
             stop that one, or name another file: DATABASE_URL=sqlite://PATH",
            path.display()
        )),
        Err(TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", name.display())),
    }
}
