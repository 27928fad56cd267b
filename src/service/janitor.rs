//! Background upkeep of the database: purge of deleted chats and expiry of sessions. Each task works in small
//! steps, so that other work goes on.

use crate::{
    database::Database,
    error::Error,
    hub::Hub,
    model::{SessionId, Timestamp},
    repository::SessionCutoff,
};
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    select,
    sync::Notify,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// The time between two purges without a notification: another server may have deleted a chat and stopped
/// before its purge.
const PERIOD: Duration = Duration::from_secs(60);
/// The longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Notifies the background tasks of deletions. Clones share the notification.
#[derive(Clone, Debug, Default)]
pub struct Deletions {
    chats: Arc<Notify>,
    users: Arc<Notify>,
    large_users: Arc<Notify>,
}

impl Deletions {
    /// Notes that a chat was deleted.
    pub(super) fn note_chat(&self) {
        self.chats.notify_one();
    }

    /// Notes that a user was deleted, and perhaps the user's chats.
    pub(super) fn note_user(&self) {
        self.chats.notify_one();
        self.users.notify_one();
    }

    /// Notes that the deletion of a user with very many messages is stored.
    pub(super) fn note_large_user(&self) {
        self.large_users.notify_one();
    }

    /// Waits until the deletion of a user with very many messages is stored.
    pub(super) async fn of_large_users(&self) {
        self.large_users.notified().await;
    }

    /// Waits until a user is deleted.
    pub(super) async fn of_users(&self) {
        self.users.notified().await;
    }
}

/// The task that purges deleted chats.
pub struct ChatPurger {
    database: Database,
    deletions: Deletions,
}

impl ChatPurger {
    /// Returns the task, woken by `deletions`.
    #[must_use]
    pub fn new(database: Database, deletions: Deletions) -> Self {
        Self {
            database,
            deletions,
        }
    }

    /// Runs until `stop`. The next server to start purges the rest.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if stop.run_until_cancelled(self.sweep()).await.is_none() {
                return;
            }
            select! {
                () = stop.cancelled() => return,
                () = self.deletions.chats.notified() => {}
                () = time::sleep(PERIOD) => {}
            }
        }
    }

    /// Purges until no deleted chat is left. After each step the task rests for as long as the step took,
    /// so that at least half of the database's time is left to other work.
    async fn sweep(&self) {
        loop {
            let begun = Instant::now();
            let step = self.database.chat_purge().step();
            match time::timeout(STEP_LIMIT, step).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => return error.log(),
                Err(_) => return tracing::warn!("the database does not answer"),
            }
            time::sleep(begun.elapsed()).await;
        }
    }
}

/// The most sessions updated in one statement.
const AT_ONCE: usize = 500;
/// The longest time for one round.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// The lifetimes of sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionTtl {
    /// The time from login to expiry, however much the session is used.
    pub absolute: Duration,
    /// The time from the last use to expiry.
    pub idle: Duration,
}

impl SessionTtl {
    /// Returns the cutoff of live sessions at `now`.
    pub(super) fn living(self, now: Timestamp) -> SessionCutoff {
        SessionCutoff {
            now,
            idle_since: now.before(self.idle),
        }
    }
}

/// Sessions used since the last write of their uses. Kept in memory, so that a request costs no write.
/// Clones share the set.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<Mutex<HashSet<SessionId>>>);

impl Used {
    pub(super) fn note(&self, session: SessionId) {
        self.lock().insert(session);
    }

    pub(super) fn has(&self, session: SessionId) -> bool {
        self.lock().contains(&session)
    }

    fn take(&self) -> HashSet<SessionId> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that stores the uses of sessions and ends expired sessions.
pub struct SessionJanitor {
    pub(super) database: Database,
    pub(super) used: Used,
    pub(super) hub: Hub,
    pub(super) lifetimes: SessionTtl,
    /// The time between two rounds.
    pub(super) period: Duration,
}

impl SessionJanitor {
    /// Runs until `stop`, then makes a final round, so that no use is forgotten.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            match time::timeout(ROUND_LIMIT, self.round()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error.log(),
                Err(_) => tracing::warn!("the database does not answer"),
            }
            if stopping {
                return;
            }
        }
    }

    /// Stores the uses of sessions, and expires sessions. A session with an open socket counts as used. An
    /// open session that is no longer in the database, wherever it was ended, loses its sockets.
    async fn round(&self) -> Result<(), Error> {
        let open = self.hub.sessions();
        let mut used: Vec<SessionId> = self.used.take().into_iter().chain(open.clone()).collect();
        used.sort_unstable();
        used.dedup();
        let sessions = self.database.sessions();
        let now = sessions.now().await?;
        let mut alive = HashSet::with_capacity(used.len());
        for some in used.chunks(AT_ONCE) {
            alive.extend(sessions.touch(some, now).await?);
        }
        for gone in open.iter().filter(|session| !alive.contains(session)) {
            self.hub.end_session_here(*gone);
        }
        let living = self.lifetimes.living(now);
        for (expired, user) in sessions.sweep(living).await? {
            self.hub.end_session(expired);
            tracing::info!(user = user.0, session = expired.0, "session expired");
        }
        Ok(())
    }
}
