//! Which connections may still be used after one of them has failed.

use crate::error::Session;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions, query_scalar};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

/// How often a database that is read-only is asked whether it takes writes again.
const READ_ONLY_PERIOD: Duration = Duration::from_secs(1);
/// How long the answer may take.
const READ_ONLY_LIMIT: Duration = Duration::from_secs(2);
/// How long a statement may go unanswered before one that is given up puts the other connections in
/// doubt: longer than a statement waits for a lock.
const SILENCE_LIMIT: Duration = Duration::from_millis(1600);

/// What is thought of the connections that there are.
#[derive(Debug)]
pub(super) struct Trust {
    options: PgConnectOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Connections made before this moment are replaced. A server that has failed, or is read-only,
    /// is perhaps no longer the primary, and they lead to it as well.
    lost: Option<Instant>,
    /// Connections that were last used before this moment are asked first whether they work.
    doubted: Option<Instant>,
    /// Whether the database is read-only, and asked by a task until it is not.
    read_only: bool,
}

impl Trust {
    /// In connections by these options.
    pub(super) fn new(options: PgConnectOptions) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { options, state })
    }

    /// Whether a connection of this age may be used.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let Some(lost) = self.state().lost else {
            return true;
        };
        let now = Instant::now();
        lost > now || now.checked_sub(age).is_some_and(|made| made >= lost)
    }

    /// Whether a connection that was idle for so long must show first that it works.
    pub(super) fn doubts(&self, idle_for: Duration) -> bool {
        let Some(doubted) = self.state().doubted else {
            return false;
        };
        let used = Instant::now().checked_sub(idle_for);
        used.is_none_or(|used| used < doubted)
    }

    /// No connection that there is now may be used again.
    pub(super) fn lose(&self) {
        self.state().lost = Some(Instant::now());
    }

    /// Draws the conclusion from an error.
    fn note(self: &Arc<Self>, error: &sqlx::Error) {
        match Session::after(error) {
            Session::Usable => {}
            Session::Lost => self.lose(),
            Session::ReadOnly => self.meet_read_only(),
        }
    }

    /// Replaces the connections at once, in case that only they are read-only, and again when the
    /// database takes writes: those that are made between stay read-only, and serve reads.
    fn meet_read_only(self: &Arc<Self>) {
        let mut state = self.state();
        if state.read_only {
            return;
        }
        state.lost = Some(Instant::now());
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        state.read_only = true;
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

    /// A statement has written: where the database was read-only, the connections made meanwhile are
    /// replaced.
    fn has_written(&self) {
        let mut state = self.state();
        if state.read_only {
            state.lost = Some(Instant::now());
            state.read_only = false;
        }
    }

    /// Whether a new session can write.
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

    /// Watches a statement until its end, one that writes or another.
    pub(super) fn watch(self: &Arc<Self>, writes: bool) -> Watch {
        Watch {
            trust: self.clone(),
            writes,
            begun: Instant::now(),
            ended: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that waits for its answer. Dropped before, it was given up.
pub(super) struct Watch {
    trust: Arc<Trust>,
    writes: bool,
    begun: Instant,
    ended: bool,
}

impl Watch {
    /// The statement has ended well.
    pub(super) fn end(&mut self) {
        self.ended = true;
        if self.writes {
            self.trust.has_written();
        }
    }

    /// The statement has failed.
    pub(super) fn fail(&mut self, error: &sqlx::Error) {
        self.ended = true;
        self.trust.note(error);
    }

    /// The statement has ended with this result.
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
