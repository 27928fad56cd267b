//! The epoch, which identifies the log, and the mark, a counter that grows with the log. A new epoch, or a
//! mark below an earlier read, shows that the database was replaced or restored.

use super::row::from_row;
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::Epoch,
};
use sqlx::{query, query_as};

/// Epoch and mark of the log at the time of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Identity of the log.
    pub epoch: Epoch,
    /// Counter that grows every few seconds while changes are stored. A value below an earlier read shows
    /// that an older copy of the database was restored.
    pub mark: i64,
}

from_row!(LogState { epoch, mark });

/// Reads and changes the epoch and the mark.
#[derive(Clone, Copy)]
pub struct EpochRepository<'a>(pub(super) &'a Database);

impl EpochRepository<'_> {
    /// Returns the current epoch and mark.
    pub async fn read(self) -> Result<LogState, Error> {
        Ok(on!(read self.0, |db| query_as(STATE)
            .fetch_one(db)
            .await)?)
    }

    /// Increments the mark and returns the new state.
    pub async fn advance(self) -> Result<LogState, Error> {
        const SQL: &str = "UPDATE log_epoch SET mark = mark + 1";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
        self.commit_state(tx).await
    }

    /// Begins a new epoch after `old`, unless another node already did. Raises the mark at least 1,000 above
    /// `mark`, so that it exceeds every mark that a node has read before. Returns the new state.
    pub async fn renew(self, old: &Epoch, mark: i64) -> Result<LogState, Error> {
        const SQL: &str = "UPDATE log_epoch SET epoch = $1, \
                           mark = CASE WHEN mark < $3 THEN $3 ELSE mark END + 1000 \
                           WHERE epoch = $2";
        let mut tx = self.0.begin().await?;
        on!(tx &mut tx, |db| query(SQL)
            .bind(Epoch::random().as_str())
            .bind(old.as_str())
            .bind(mark)
            .execute(db)
            .await
            .map(drop))?;
        self.commit_state(tx).await
    }

    /// Reads the state, commits and records the state in the note file beside an SQLite database.
    async fn commit_state(self, mut tx: DatabaseTransaction) -> Result<LogState, Error> {
        let state: LogState = on!(tx &mut tx, |db| query_as(STATE).fetch_one(db).await)?;
        tx.commit().await?;
        self.0.note_mark(state.epoch.as_str(), state.mark).await;
        Ok(state)
    }
}

const STATE: &str = "SELECT epoch, mark FROM log_epoch";

/// Begins a new epoch within a transaction that replaces the log, such as an import.
pub(super) async fn begin(tx: &mut DatabaseTransaction) -> Result<(), sqlx::Error> {
    const SQL: &str = "UPDATE log_epoch SET epoch = $1, mark = mark + 1";
    on!(tx tx, |db| query(SQL)
        .bind(Epoch::random().as_str())
        .execute(db)
        .await
        .map(drop))
}
