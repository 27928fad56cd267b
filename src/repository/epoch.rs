//! The identity of the log: its epoch, and the mark that grows with it.

use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::Epoch,
};
use sqlx::{query, query_as};

/// The log as a whole, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LogState {
    /// Its identity.
    pub epoch: Epoch,
    /// Grows while changes are stored, every few seconds. A lower one than was read before tells that
    /// the database went back.
    pub mark: i64,
}

/// Reads and changes the identity of the log.
#[derive(Clone)]
pub struct EpochRepository(Database);

impl EpochRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// The log as it is.
    pub async fn read(&self) -> Result<LogState, Error> {
        Ok(on!(read & self.0, |db| query_as(STATE)
            .fetch_one(db)
            .await)?)
    }

    /// Moves the mark on.
    pub async fn advance(&self) -> Result<LogState, Error> {
        const SQL: &str = "UPDATE log_epoch SET mark = mark + 1";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
        self.settle(tx).await
    }

    /// Begins another epoch after `old`, unless another server has done so. The mark goes beyond
    /// `mark`, by so much that no server has seen a higher one.
    pub async fn renew(&self, old: &Epoch, mark: i64) -> Result<LogState, Error> {
        const SQL: &str = "UPDATE log_epoch SET epoch = $1, \
                           mark = CASE WHEN mark < $3 THEN $3 ELSE mark END + 1000 \
                           WHERE epoch = $2";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL)
            .bind(Epoch::random())
            .bind(old)
            .bind(mark)
            .execute(db)
            .await
            .map(drop))?;
        self.settle(tx).await
    }

    async fn settle(&self, mut tx: DatabaseTransaction) -> Result<LogState, Error> {
        let state: LogState = on!(tx &mut tx, |db| query_as(STATE).fetch_one(db).await)?;
        tx.commit().await?;
        self.0.note_mark(state.epoch.as_str(), state.mark).await;
        Ok(state)
    }
}

const STATE: &str = "SELECT epoch, mark FROM log_epoch";

/// Begins another epoch in a transaction that stores another log.
pub(super) async fn begin(tx: &mut DatabaseTransaction) -> Result<(), sqlx::Error> {
    const SQL: &str = "UPDATE log_epoch SET epoch = $1, mark = mark + 1";
    on!(tx tx, |db| query(SQL)
        .bind(Epoch::random())
        .execute(db)
        .await
        .map(drop))
}
