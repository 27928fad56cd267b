//! Readiness: whether the server can do its work. Asked by the readiness route.

#[cfg(test)]
mod tests;

use crate::{
    cluster::{Link, LinkState},
    database::Database,
    delivery::Writer,
    error::{Code, Error, within},
    tasks::TaskHealth,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// The validity of a write's outcome. However often readiness is queried, at most one probe write is made
/// in this time.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest time for a probe write.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers for the server as a whole.
#[derive(Clone)]
pub struct HealthService {
    probe: Probe,
    /// The link to other nodes; null on a single node.
    link: Option<Link>,
    writer: Writer,
    tasks: TaskHealth,
}

/// Probe writes to the database. Concurrent queries share one write (single-flight).
#[derive(Clone)]
struct Probe {
    database: Database,
    /// The end of the last probe write, and true if it was stored; null before the first write.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl HealthService {
    /// Returns the service.
    #[must_use]
    pub fn new(database: Database, link: Option<Link>, writer: Writer, tasks: TaskHealth) -> Self {
        let last = Arc::default();
        Self {
            probe: Probe { database, last },
            link,
            writer,
            tasks,
        }
    }

    /// Returns the state of the cluster link if the server is ready. The server is ready if changes are
    /// stored: by the outcome of the last change within a second, otherwise by a probe write. A missing
    /// NATS link does not make a server unready, because the reconciler loads missed events from the
    /// database a few seconds later.
    ///
    /// # Errors
    /// `unavailable` if the database takes no write within a second, or if a task that the server needs has
    /// ended.
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
    /// Returns the outcome of the last probe write, or makes a probe write if that is older than `PERIOD`.
    /// Concurrent callers wait for one write.
    async fn writes(&self) -> bool {
        let mut last = self.last.clone().lock_owned().await;
        if let Some((at, stored)) = *last
            && at.elapsed() < PERIOD
        {
            return stored;
        }
        let database = self.database.clone();
        // Spawned, so that the write completes even if the request is dropped: otherwise the next request
        // would begin a second write.
        let writing = tokio::spawn(async move {
            let written = within(LIMIT, database.probe_write()).await;
            let stored = written.inspect_err(Error::log).is_ok();
            *last = Some((Instant::now(), stored));
            stored
        });
        writing.await.unwrap_or(false)
    }
}
