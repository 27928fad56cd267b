//! Keeps the sessions: notes which are used, and ends those that have expired.

use crate::{
    error::Error,
    hub::Hub,
    model::{SessionId, Timestamp},
    repository::{Living, SessionRepository},
};
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    select,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// Sessions that are noted in one statement.
const AT_ONCE: usize = 500;
/// How long one round may take.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// From the login, however much they are used.
    pub absolute: Duration,
    /// From the last use.
    pub idle: Duration,
}

impl Lifetimes {
    /// What is alive at this moment.
    pub(super) fn living(self, now: Timestamp) -> Living {
        Living {
            now,
            idle_since: now.before(self.idle),
        }
    }
}

/// Sessions that were used since that was last written down: in memory, so that a request costs no
/// write. Cloning shares them.
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

/// The task that keeps them.
pub struct SessionKeeper {
    pub(super) sessions: SessionRepository,
    pub(super) used: Used,
    pub(super) hub: Hub,
    pub(super) lifetimes: Lifetimes,
    /// How often.
    pub(super) period: Duration,
}

impl SessionKeeper {
    /// Works until `stop`, and then once more, so that no use is forgotten.
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
                Err(_) => tracing::warn!("the store does not answer"),
            }
            if stopping {
                return;
            }
        }
    }

    /// A session with an open socket is in use. One that is not in the database any more, wherever
    /// it was ended, loses its sockets.
    async fn round(&self) -> Result<(), Error> {
        let open = self.hub.sessions();
        let mut used: Vec<SessionId> = self.used.take().into_iter().chain(open.clone()).collect();
        used.sort_unstable();
        used.dedup();
        let now = self.sessions.now().await?;
        let mut alive = HashSet::with_capacity(used.len());
        for some in used.chunks(AT_ONCE) {
            alive.extend(self.sessions.touch(some, now).await?);
        }
        for gone in open.iter().filter(|session| !alive.contains(session)) {
            self.hub.end_session_here(*gone);
        }
        let living = self.lifetimes.living(now);
        for (expired, user) in self.sessions.sweep(living).await? {
            self.hub.end_session(expired);
            tracing::info!(user = user.0, session = expired.0, "session expired");
        }
        Ok(())
    }
}
