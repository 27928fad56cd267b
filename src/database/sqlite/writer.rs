//! The single connection that writes to an SQLite file, and its transactions.

use super::file_identity::SameFile;
use crate::database::pool;
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

/// A pool of exactly one connection, available only inside a transaction.
///
/// Every write therefore needs a checked COMMIT. A statement without a transaction would commit after
/// its last row, and a caller that takes only the first row would miss the error of the commit.
#[derive(Clone)]
pub(super) struct OneWriter {
    pool: SqlitePool,
    open: Open,
    /// The identity of the database file, checked before each transaction.
    file: SameFile,
}

/// True if a transaction may be open on the connection.
type Open = Arc<AtomicBool>;

/// A transaction on the writing connection, or on the own connection of a snapshot. Dropping it without a
/// commit rolls it back.
pub struct SqliteTransaction {
    connection: PoolConnection<Sqlite>,
    open: Open,
}

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
        self.file.check()?;
        let connection = self.pool.acquire().await?;
        // Set before BEGIN is sent: a cancelled caller may leave the transaction open.
        self.open.store(true, Ordering::Release);
        let mut tx = SqliteTransaction {
            connection,
            open: self.open.clone(),
        };
        match query(statement).execute(&mut *tx).await {
            Ok(_) => Ok(tx),
            Err(error) => {
                tx.discard();
                Err(error)
            }
        }
    }

    /// Returns the identity of the database file.
    pub(super) fn file(&self) -> &SameFile {
        &self.file
    }

    /// Returns the inner pool, for its metrics and its close.
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
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
                self.open.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Closes the connection and thereby rolls back an open transaction. The next transaction waits for
    /// the close and opens a new connection.
    fn discard(mut self) {
        self.open.store(false, Ordering::Release);
        self.connection.close_on_drop();
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
