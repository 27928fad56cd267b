//! Sweeps away what deleted chats leave behind, while everyone else goes on.

use crate::repository::SweepRepository;
use std::{sync::Arc, time::Duration};
use tokio::{
    select,
    sync::Notify,
    time::{self, Instant},
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
pub struct Sweeper {
    chats: SweepRepository,
    deletions: Deletions,
}

impl Sweeper {
    /// On this store; it is told by `deletions` that there is something to do.
    #[must_use]
    pub fn new(chats: SweepRepository, deletions: Deletions) -> Self {
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
