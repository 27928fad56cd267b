//! The embedded SQLite database, for one server process at a time: opening, migrations and snapshots.

mod checkpoint;
mod file_identity;
mod lock_file;
mod writer;

use super::{Connections, copy, migrations, pool, startup_check};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::MigrateError,
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
pub use writer::{SqliteScript, SqliteTransaction};

/// SQLite's `busy_timeout`: the maximum wait for a lock that a checkpoint or a backup holds briefly.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// SQLite's `journal_size_limit` in bytes (4 MiB): the size to which SQLite truncates the write-ahead log
/// when it restarts the log. It is about the size at which SQLite checkpoints by itself: 1,000 pages of
/// 4 KiB. The module `checkpoint` truncates the log to zero in addition.
const JOURNAL_SIZE_LIMIT: &str = "4194304";
/// The maximum number of reading connections. Each connection has its own thread and page cache.
pub(super) const MAX_READERS: u32 = 4;
/// The maximum number of reading connections that are kept for tokens and for clients that connect.
pub(super) const PRIORITY_READERS: u32 = 3;
/// SQLite's `cache_size` of a priority reader: 512 KiB instead of 2 MiB. These connections look up single rows by key,
/// and need the upper pages of a few indexes.
const PRIORITY_CACHE: &str = "-512";

/// An open SQLite file: WAL mode, synchronous FULL, foreign keys on. One connection writes, and up to
/// `MAX_READERS` and `PRIORITY_READERS` connections read. Several writing connections would poll for each
/// other's locks.
#[derive(Clone)]
pub struct SqliteDatabase {
    /// The options of the writing connection and of the connections for checkpoints.
    options: SqliteConnectOptions,
    writer: OneWriter,
    /// The readers of this handle: the general ones, or the priority readers.
    readers: SqlitePool,
    pools: Readers,
    /// The path of the database file.
    path: Arc<Path>,
    /// The lock that keeps a second process from opening the file. It is held until `close`.
    lock: Arc<LockFile>,
}

/// All reading connections to a file.
#[derive(Clone)]
struct Readers {
    general: SqlitePool,
    /// The connections for tokens and for clients that connect.
    priority: SqlitePool,
}

impl SqliteDatabase {
    /// Opens and migrates the file. A missing file and its missing folders are created. If the start
    /// fails, everything that it created is removed.
    ///
    /// # Errors
    /// A sentence: the folder cannot be created, another process uses the file, the file belongs to
    /// another program, or the file cannot be written.
    pub async fn open(path: &Path, connections: u32) -> Result<Self, String> {
        startup_check::refuse_place(path)?;
        let folders = missing_folders(path);
        // Accessible to the owner only: the folder holds password hashes and private messages.
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        let made = folders
            .first()
            .map_or(Ok(()), |folder| private.create(folder));
        let opened = match made {
            Ok(()) => Self::open_locked(path, connections).await,
            Err(e) => Err(format!(
                "cannot create the folder of {}: {e}",
                path.display()
            )),
        };
        if opened.is_err() {
            for folder in folders {
                // `remove_dir` removes only an empty folder. A folder that remains does no harm.
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
                // A missing file is no failure here.
                let _ = fs::remove_file(file);
            }
            lock.remove_if_made();
        }
        let (options, writer, pools) = opened?;
        Ok(Self {
            options,
            writer,
            readers: pools.general.clone(),
            pools,
            path: path.into(),
            lock: Arc::new(lock),
        })
    }

    /// Truncates the write-ahead log periodically until `stop`.
    pub(super) async fn keep_log_short(&self, stop: &CancellationToken) {
        checkpoint::run(&self.options, self.writer.file(), stop).await;
    }

    /// Begins a transaction on the writing connection. It is IMMEDIATE: a deferred transaction would fail
    /// at its first write, instead of waiting, if another connection has written since its first read.
    pub(super) async fn begin(&self) -> Result<SqliteTransaction, sqlx::Error> {
        self.writer.begin("BEGIN IMMEDIATE").await
    }

    /// Returns a handle that reads over the priority readers.
    pub(super) fn priority(&self) -> Self {
        Self {
            readers: self.pools.priority.clone(),
            ..self.clone()
        }
    }

    /// Returns the pool of read-only connections of this handle.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Waits for the writing connection, for a query that begins and commits by itself.
    ///
    /// # Errors
    /// The error of the pool or of the file. Nothing was executed.
    pub async fn script(&self) -> Result<SqliteScript, sqlx::Error> {
        self.writer.script().await
    }

    /// Returns the number of connections of all readers and the writer.
    pub(super) fn connections(&self) -> Connections {
        let Readers { general, priority } = &self.pools;
        let readers = [general, priority].map(Connections::of);
        readers.into_iter().chain([self.writer.connections()]).sum()
    }

    /// Writes the epoch and the mark of the log to the note file beside the database.
    pub(super) async fn note_mark(&self, epoch: &str, mark: i64) {
        let (path, epoch) = (Arc::clone(&self.path), epoch.to_owned());
        let noting = task::spawn_blocking(move || copy::write_note(&path, &epoch, mark));
        if let Err(error) = noting.await {
            tracing::debug!(%error, "cannot write the note file beside the database");
        }
    }

    /// Advances the mark of the log at the end of the server. A copy of the file that was made before has
    /// a lower mark, so a later start recognizes the copy.
    async fn advance_mark(&self) {
        let advanced = async {
            let mut tx = self.begin().await?;
            let (epoch, mark) = copy::count_on(&mut tx).await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>((epoch, mark))
        };
        match advanced.await {
            Ok((epoch, mark)) => self.note_mark(&epoch, mark).await,
            Err(error) => {
                tracing::warn!(%error, "cannot advance the mark that detects older copies of the database")
            }
        }
    }

    /// Closes the readers and then the writer, and releases the lock. The close of the last connection
    /// merges the write-ahead log into the file.
    pub async fn close(&self) {
        self.pools.general.close().await;
        self.pools.priority.close().await;
        self.advance_mark().await;
        self.writer.close().await;
        if let Err(error) = self.lock.release() {
            tracing::warn!(%error, "cannot unlock the database; it is free when this process ends");
        }
    }
}

/// Returns the missing folders above a file, the innermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    let above = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    above.map(Path::to_owned).collect()
}

/// Returns the paths of the database and of SQLite's files beside it in WAL mode.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| beside(path, end))
}

/// Creates or checks the file, migrates it and opens its connections. An existing file is not changed,
/// not even its journal mode, before the checks show that no other program uses it.
async fn open_file(
    path: &Path,
    connections: u32,
) -> Result<(SqliteConnectOptions, OneWriter, Readers), String> {
    let shown = path.display();
    let open_error = |e: sqlx::Error| format!("cannot open the database {shown}: {e}");
    startup_check::refuse_foreign(path).await?;
    if !path.exists() {
        // SQLite would create the file readable by everyone. SQLite gives its mode to the log files.
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
    // A file that is removed while the server runs is not created again, because it would be empty.
    // `secure_delete` overwrites deleted text in the file. In the log, deleted text remains until
    // the next truncation.
    let options = options(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT);
    let writer = options.connect().await.map_err(open_error)?;
    let reading = options.clone().read_only(true);
    let general = pool(connections.min(MAX_READERS)).connect_with(reading.clone());
    let general: SqlitePool = general.await.map_err(open_error)?;
    let reading = reading.pragma("cache_size", PRIORITY_CACHE);
    let priority = pool(PRIORITY_READERS).connect_with(reading);
    let priority: SqlitePool = priority.await.map_err(open_error)?;
    writer.close().await.map_err(open_error)?;
    connection.close().await.map_err(open_error)?;
    let readers = Readers { general, priority };
    Ok((options.clone(), OneWriter::new(options), readers))
}

/// Migrates the tables. On a new file, all migrations are one transaction.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    if is_ours(connection).await? {
        return migrations::SQLITE.run(connection).await;
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrations::SQLITE.run(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Returns true if the file was migrated by this program before.
pub(super) async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT count(*) > 0 FROM sqlite_master WHERE name = '_sqlx_migrations'";
    query_scalar(SQL).fetch_one(connection).await
}

/// Returns the options that all connections to the file share.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
}

/// Returns the options of a read-only connection to an existing file. The connection needs no lock file:
/// in WAL mode, readers and the writer do not block each other, even in different processes.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).create_if_missing(false)
}

/// Rolls back the transaction that a killed process left in a file.
///
/// Only a file outside WAL mode can have such a transaction, in its rollback journal: the file of an
/// interrupted first start, or a copy. SQLite opens this file read-only only after the rollback. A file
/// without a journal is not opened.
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

/// Begins a read-only transaction that sees the commits before its first query and none after it.
pub(super) async fn snapshot(path: &Path) -> Result<SqliteTransaction, sqlx::Error> {
    OneWriter::new(reading(path)).begin("BEGIN").await
}

/// Returns the path of a file beside the database: `<path><suffix>`. A symbolic link is followed, like
/// SQLite follows it for its log, so that all links to a database share one lock file.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let linked = fs::canonicalize(path).ok().filter(|_| path.is_symlink());
    let mut name = linked.unwrap_or_else(|| path.to_owned()).into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the options to open a file for writing. A missing file is created with mode 0600.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}
