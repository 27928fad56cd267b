//! The one connection that writes to an SQLite file, and its transactions.

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

/// A pool of exactly one connection, which is only to be had inside a transaction. A statement that
/// writes therefore lasts by a COMMIT that was checked, or not at all: by itself it would commit
/// after its last row, and a caller that takes one row would not hear that it failed.
#[derive(Clone)]
pub(super) struct OneWriter {
    pool: SqlitePool,
    open: Open,
    file: SameFile,
}

/// Whether a transaction may be open on the connection.
type Open = Arc<AtomicBool>;

/// A transaction on the one connection; dropped without a commit, it is rolled back.
pub struct SqliteTransaction {
    connection: PoolConnection<Sqlite>,
    open: Open,
}

impl OneWriter {
    /// Opens the connection when it is needed, and again after each failed COMMIT or ROLLBACK.
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

    /// Waits for the connection and begins a transaction with this statement, unless the file is gone
    /// from its name.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
    ) -> Result<SqliteTransaction, sqlx::Error> {
        self.file.check()?;
        let connection = self.pool.acquire().await?;
        // Before the statement is sent: a caller that stops waiting for its result leaves it open.
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

    /// The file that it writes to.
    pub(super) fn file(&self) -> &SameFile {
        &self.file
    }

    /// The pool, for its figures and its end.
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// Ends a transaction that was dropped. SQLite may have rolled it back by itself, as it does where
/// the disk is full or fails, or memory is short: the connection is closed then, like every one
/// of an uncertain state.
async fn is_rolled_back(connection: &mut SqliteConnection) -> bool {
    match query("ROLLBACK").execute(connection).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the writing connection is opened again");
            false
        }
    }
}

impl SqliteTransaction {
    /// Makes it last. After an error the connection is closed, and its outcome is not certain: the
    /// commit may stand in the log although the disk did not confirm it.
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

    /// Closes the connection, and with it an open transaction. The next transaction waits for
    /// that, and opens another.
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
