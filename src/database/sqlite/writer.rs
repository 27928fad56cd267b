//! The single connection that writes to an SQLite file, and its transactions.

use super::file_identity::SameFile;
use crate::database::{ACQUIRE_LIMIT, Connections, pool};
use sqlx::{
    Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    query,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// A pool of exactly one connection, available only inside a transaction.
///
/// Every write therefore needs a checked COMMIT. A statement without a transaction would commit after
/// its last row, and a caller that takes only the first row would miss the error of the commit.
#[derive(Clone)]
pub(super) struct OneWriter {
    /// Opens the connection, and repairs or replaces it after a failure.
    pool: SqlitePool,
    /// The connection between transactions, if the last one was committed. Writers wait here, in the order
    /// in which they came. A pool would ping the connection after each transaction.
    kept: Slot,
    open: Open,
    /// The identity of the database file, checked before each transaction.
    file: SameFile,
}

/// True if a transaction may be open on the connection.
type Open = Arc<AtomicBool>;
/// The place of the connection.
type Slot = Arc<Mutex<Option<PoolConnection<Sqlite>>>>;

/// A transaction on the writing connection, or on the own connection of a snapshot. Dropping it without a
/// commit rolls it back.
pub struct SqliteTransaction {
    connection: PoolConnection<Sqlite>,
    open: Open,
    /// The place to which the connection returns after a commit. Locked until then.
    kept: OwnedMutexGuard<Option<PoolConnection<Sqlite>>>,
}

/// One query of several statements, the first a BEGIN and the last a COMMIT. Dropping it without `end` rolls
/// the transaction back, if it was begun.
pub struct SqliteScript(SqliteTransaction);

impl OneWriter {
    /// Creates the pool. The connection is opened on demand, and again after each failed BEGIN, COMMIT or
    /// ROLLBACK.
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        let open = Open::default();
        let released = open.clone();
        let pool: SqlitePoolOptions = pool(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.after_release(move |connection, _| {
            let open = released.swap(false, Ordering::AcqRel);
            Box::pin(async move { Ok(!open || is_rolled_back(connection).await) })
        });
        Self {
            file: SameFile::new(options.get_filename()),
            pool: pool.connect_lazy_with(options),
            kept: Slot::default(),
            open,
        }
    }

    /// Waits for the connection and begins a transaction with this statement.
    ///
    /// # Errors
    /// `Io` if the database file was removed or replaced, otherwise the error of the pool or of SQLite.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
    ) -> Result<SqliteTransaction, sqlx::Error> {
        let mut tx = self.acquire().await?;
        match query(statement).execute(&mut *tx).await {
            Ok(_) => Ok(tx),
            Err(error) => {
                tx.discard();
                Err(error)
            }
        }
    }

    /// Waits for the connection, for a query that begins and commits by itself.
    ///
    /// # Errors
    /// As `begin`.
    pub(super) async fn script(&self) -> Result<SqliteScript, sqlx::Error> {
        self.acquire().await.map(SqliteScript)
    }

    async fn acquire(&self) -> Result<SqliteTransaction, sqlx::Error> {
        self.file.check()?;
        let kept = timeout(ACQUIRE_LIMIT, self.kept.clone().lock_owned()).await;
        let mut kept = kept.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let connection = match kept.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        // Set before BEGIN is sent: a cancelled caller may leave the transaction open.
        self.open.store(true, Ordering::Release);
        Ok(SqliteTransaction {
            connection,
            open: self.open.clone(),
            kept,
        })
    }

    /// Returns the number of connections. A kept connection is idle.
    pub(super) fn connections(&self) -> Connections {
        let mut connections = Connections::of(&self.pool);
        if self.kept.try_lock().is_ok_and(|kept| kept.is_some()) {
            connections.idle += 1;
        }
        connections
    }

    /// Closes the connection after the transaction that runs on it.
    pub(super) async fn close(&self) {
        // Locked until the end, so that no transaction takes the pool's connection and keeps it.
        let mut kept = self.kept.lock().await;
        drop(kept.take());
        self.pool.close().await;
    }

    /// Returns the identity of the database file.
    pub(super) fn file(&self) -> &SameFile {
        &self.file
    }
}

/// Rolls back a dropped transaction and returns true on success. If it returns false, the pool closes the
/// connection, because the state of the connection is unknown. SQLite itself may have rolled back the
/// transaction, because the disk is full or fails or memory is short; ROLLBACK fails then.
async fn is_rolled_back(connection: &mut SqliteConnection) -> bool {
    match query("ROLLBACK").execute(connection).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the rollback failed; the write connection is opened again");
            false
        }
    }
}

impl SqliteTransaction {
    /// Commits the transaction.
    ///
    /// # Errors
    /// The error of SQLite. The connection is closed and the commit may be in doubt: it may be in the
    /// write-ahead log although the disk did not confirm it.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        match query("COMMIT").execute(&mut *self).await {
            Ok(_) => {
                self.keep();
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Keeps the connection for the next transaction.
    fn keep(mut self) {
        self.open.store(false, Ordering::Release);
        *self.kept = Some(self.connection);
    }

    /// Closes the connection and thereby rolls back an open transaction. The next transaction waits for
    /// the close and opens a new connection.
    fn discard(mut self) {
        self.open.store(false, Ordering::Release);
        self.connection.close_on_drop();
    }
}

impl SqliteScript {
    /// Ends the script with the result of its query. After an error the connection is closed, because the
    /// transaction may be open and the commit may be in doubt.
    pub(crate) fn end<T>(self, result: &Result<T, sqlx::Error>) {
        match result {
            Ok(_) => self.0.keep(),
            Err(_) => self.0.discard(),
        }
    }
}

impl Deref for SqliteScript {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for SqliteScript {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

impl Deref for SqliteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for SqliteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
