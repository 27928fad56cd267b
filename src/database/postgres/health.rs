//! Decides from the errors of statements whether the pooled connections to Postgres may still be used.

use crate::error::SessionHealth;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions, query_scalar};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

/// The interval between two checks of whether a read-only database takes writes again.
const READ_ONLY_PERIOD: Duration = Duration::from_secs(1);
/// The time limit of one check of a read-only database, including its connection.
const READ_ONLY_LIMIT: Duration = Duration::from_secs(2);
/// The time after which a cancelled statement without an answer puts all connections in doubt. It is
/// longer than `lock_timeout` (1.5 s), so that a wait for a lock is no sign of a dead server.
const SILENCE_LIMIT: Duration = Duration::from_millis(1600);

/// The state of trust in the existing connections, shared by all pools of one database.
#[derive(Debug)]
pub(super) struct Trust {
    /// The options of the connection that checks whether the database takes writes.
    options: PgConnectOptions,
    state: Mutex<TrustState>,
}

#[derive(Debug, Default)]
struct TrustState {
    /// Connections that were opened before this time are replaced. A database server that failed or is
    /// read-only may no longer be the primary, and older connections lead to it too. `None` if no
    /// connection was lost.
    lost: Option<Instant>,
    /// Connections that were last used before this time are pinged before use. `None` if none is in doubt.
    doubted: Option<Instant>,
    /// True while the database is read-only. A task checks it until the database takes writes.
    read_only: bool,
}

impl Trust {
    /// Creates full trust in connections with these options.
    pub(super) fn new(options: PgConnectOptions) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { options, state })
    }

    /// Returns true if a connection of this age may be used.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let Some(lost) = self.state().lost else {
            return true;
        };
        let now = Instant::now();
        lost > now || now.checked_sub(age).is_some_and(|made| made >= lost)
    }

    /// Returns true if a connection with this idle time must be pinged before use.
    pub(super) fn doubts(&self, idle_for: Duration) -> bool {
        let Some(doubted) = self.state().doubted else {
            return false;
        };
        let used = Instant::now().checked_sub(idle_for);
        used.is_none_or(|used| used < doubted)
    }

    /// Marks all existing connections as lost, so that they are replaced.
    pub(super) fn lose(&self) {
        self.state().lost = Some(Instant::now());
    }

    /// Updates the trust after the error of a statement.
    fn note(self: &Arc<Self>, error: &sqlx::Error) {
        match SessionHealth::after(error) {
            SessionHealth::Usable => {}
            SessionHealth::Lost => self.lose(),
            SessionHealth::ReadOnly => self.enter_read_only(),
        }
    }

    /// Replaces the connections now and again when the database takes writes.
    ///
    /// The first replacement helps if only the existing sessions are read-only. Connections that are
    /// opened while the database is read-only serve reads, but stay read-only, hence the second one.
    fn enter_read_only(self: &Arc<Self>) {
        let mut state = self.state();
        if state.read_only {
            return;
        }
        state.lost = Some(Instant::now());
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        state.read_only = true;
        // The weak reference ends the task after the last pool is dropped.
        let trust = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(trust) = trust.upgrade().filter(|trust| trust.state().read_only) {
                if trust.is_writable().await {
                    trust.has_written();
                    return;
                }
                drop(trust);
                sleep(READ_ONLY_PERIOD).await;
            }
        });
    }

    /// Records a successful write. If the database was read-only, connections that were opened in that
    /// time are replaced.
    fn has_written(&self) {
        let mut state = self.state();
        if state.read_only {
            state.lost = Some(Instant::now());
            state.read_only = false;
        }
    }

    /// Returns true if a new session can write. False if it cannot connect in time.
    async fn is_writable(&self) -> bool {
        const SQL: &str = "SELECT current_setting('transaction_read_only') = 'off'";
        let asking = async {
            let mut connection = self.options.connect().await?;
            let writable: bool = query_scalar(SQL).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok::<bool, sqlx::Error>(writable)
        };
        matches!(timeout(READ_ONLY_LIMIT, asking).await, Ok(Ok(true)))
    }

    /// Starts to watch a statement. `writes` is true if its success proves that the database takes writes.
    pub(super) fn watch(self: &Arc<Self>, writes: bool) -> Watch {
        Watch {
            trust: self.clone(),
            writes,
            begun: Instant::now(),
            ended: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, TrustState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch of one running statement. A drop before its end means that the caller was cancelled.
pub(super) struct Watch {
    trust: Arc<Trust>,
    /// True if a success of the statement proves that the database takes writes.
    writes: bool,
    begun: Instant,
    ended: bool,
}

impl Watch {
    /// Records that the statement succeeded.
    pub(super) fn end(&mut self) {
        self.ended = true;
        if self.writes {
            self.trust.has_written();
        }
    }

    /// Records that the statement failed.
    pub(super) fn fail(&mut self, error: &sqlx::Error) {
        self.ended = true;
        self.trust.note(error);
    }

    /// Records the result of the statement.
    pub(super) fn settle<T>(mut self, result: &Result<T, sqlx::Error>) {
        match result {
            Ok(_) => self.end(),
            Err(error) => self.fail(error),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ended && self.begun.elapsed() > SILENCE_LIMIT {
            self.trust.state().doubted = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_made_while_nothing_could_be_written_are_replaced_after_a_write() {
        let trust = Trust::new(PgConnectOptions::new());
        trust.state().read_only = true;
        trust.watch(false).settle(&Ok(()));
        assert!(trust.covers(Duration::from_secs(1)));
        trust.watch(true).settle(&Ok(()));
        assert!(!trust.covers(Duration::from_secs(1)));
        assert!(!trust.state().read_only);
    }

    #[test]
    fn connections_made_before_a_loss_are_not_covered() {
        let trust = Trust::new(PgConnectOptions::new());
        assert!(trust.covers(Duration::from_secs(3600)));
        trust.lose();
        assert!(!trust.covers(Duration::from_secs(1)));
        assert!(trust.covers(Duration::ZERO));
    }
}
