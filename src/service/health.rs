//! Whether the server can do its work.

#[cfg(test)]
mod tests;

use crate::{
    cluster::{Link, LinkState},
    database::HealthRepository,
    delivery::Writer,
    error::{Code, Error},
    tasks::TaskHealth,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, time::timeout};

/// How long the outcome of a write counts. However often readiness is asked for, a write is made for it
/// once in this time at most.
const PERIOD: Duration = Duration::from_secs(1);
/// How long such a write may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers for the server as a whole.
#[derive(Clone)]
pub struct HealthService {
    probe: Probe,
    /// The link to the other nodes; null on a single node.
    link: Option<Link>,
    writer: Writer,
    tasks: TaskHealth,
}

/// Small writes, one at a time.
#[derive(Clone)]
struct Probe {
    health: HealthRepository,
    /// When the last one ended, and whether it was stored.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl HealthService {
    /// On these parts.
    #[must_use]
    pub fn new(
        health: HealthRepository,
        link: Option<Link>,
        writer: Writer,
        tasks: TaskHealth,
    ) -> Self {
        let last = Arc::default();
        Self {
            probe: Probe { health, last },
            link,
            writer,
            tasks,
        }
    }

    /// Whether changes are stored, by the last one's outcome, or by that of a small write which is
    /// made where there was none within a second; and whether NATS is there. Without it this one is
    /// as ready: what it misses comes from the database a few seconds later.
    ///
    /// # Errors
    /// `unavailable` where the store does not take writes within a second, or where a task has ended
    /// that the work cannot go on without.
    pub async fn ready(&self) -> Result<LinkState, Error> {
        if !self.tasks.all_running() {
            let message =
                "The server is stopping, or a part of it has failed: it must be restarted";
            return Err(Error::new(Code::Unavailable, message));
        }
        let stores = match self.writer.last_outcome().within(PERIOD) {
            Some(stored) => stored,
            None => self.probe.writes().await,
        };
        if !stores {
            return Err(Error::unavailable());
        }
        Ok(self.link.as_ref().map_or(LinkState::None, Link::state))
    }
}

impl Probe {
    /// Whether the last small write was stored; it is made where there was none within the period.
    /// All that ask meanwhile wait for the same one.
    async fn writes(&self) -> bool {
        let mut last = self.last.clone().lock_owned().await;
        if let Some((at, stored)) = *last
            && at.elapsed() < PERIOD
        {
            return stored;
        }
        let health = self.health.clone();
        // To its end, although the one that asked may be gone: the next is not to begin another.
        let writing = tokio::spawn(async move {
            let written = timeout(LIMIT, health.write()).await;
            let written = written.unwrap_or_else(|_| Err(Error::unavailable()));
            let stored = written.inspect_err(Error::log).is_ok();
            *last = Some((Instant::now(), stored));
            stored
        });
        writing.await.unwrap_or(false)
    }
}
