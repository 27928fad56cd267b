//! Sweeps away what deleted chats leave behind, while everyone else goes on.

use crate::{
    error::Error,
    hub::Hub,
    model::{SessionId, Timestamp, UserId},
    repository::{
        ChatPurgeRepository, DemoDataRepository, SessionCutoff, SessionRepository,
        SkeletonRepository,
    },
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

/// How often it looks without being told: for chats that another server deleted and did not finish.
const PERIOD: Duration = Duration::from_secs(60);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Tells those who tidy up that something was deleted. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Deletions {
    chats: Arc<Notify>,
    users: Arc<Notify>,
}

impl Deletions {
    /// A chat was deleted.
    pub(super) fn note_chat(&self) {
        self.chats.notify_one();
    }

    /// A user was deleted, and perhaps chats with them.
    pub(super) fn note_user(&self) {
        self.chats.notify_one();
        self.users.notify_one();
    }

    /// Waits until a user was deleted.
    pub(super) async fn of_users(&self) {
        self.users.notified().await;
    }
}

/// The task that sweeps.
pub struct ChatPurger {
    chats: ChatPurgeRepository,
    deletions: Deletions,
}

impl ChatPurger {
    /// On this store; it is told by `deletions` that there is something to do.
    #[must_use]
    pub fn new(chats: ChatPurgeRepository, deletions: Deletions) -> Self {
        Self { chats, deletions }
    }

    /// Works until `stop`. What is left then is swept by the next server that starts.
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

    /// Steps until nothing is left. After each it rests for as long as it took, so that at least
    /// half of the store is everyone else's.
    async fn sweep(&self) {
        loop {
            let begun = Instant::now();
            match time::timeout(STEP_LIMIT, self.chats.step()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => return error.log(),
                Err(_) => return tracing::warn!("the store does not answer"),
            }
            time::sleep(begun.elapsed()).await;
        }
    }
}

/// Sessions that are noted in one statement.
const AT_ONCE: usize = 500;
/// How long one round may take.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct SessionTtl {
    /// From the login, however much they are used.
    pub absolute: Duration,
    /// From the last use.
    pub idle: Duration,
}

impl SessionTtl {
    /// What is alive at this moment.
    pub(super) fn living(self, now: Timestamp) -> SessionCutoff {
        SessionCutoff {
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
pub struct SessionJanitor {
    pub(super) sessions: SessionRepository,
    pub(super) used: Used,
    pub(super) hub: Hub,
    pub(super) lifetimes: SessionTtl,
    /// How often.
    pub(super) period: Duration,
}

impl SessionJanitor {
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

/// Prepares the data of a database whose tables are up to date.
pub struct Startup {
    sample: DemoDataRepository,
    skeletons: SkeletonRepository,
}

impl Startup {
    /// On this store.
    #[must_use]
    pub fn new(sample: DemoDataRepository, skeletons: SkeletonRepository) -> Self {
        Self { sample, skeletons }
    }

    /// Fills an empty database with the original's sample data.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn fill_sample(&self) -> Result<(), Error> {
        if self.sample.fill().await? {
            tracing::info!("stored the sample data: carl, sigmund and gustav, general and random");
        }
        Ok(())
    }

    /// Gives the first names without skeletons theirs, which in a small database are all. The others get
    /// them while the server runs.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn fill_first_skeletons(&self) -> Result<(), Error> {
        self.skeletons.step(UserId(0)).await.map(drop)
    }
}
