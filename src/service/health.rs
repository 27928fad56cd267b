//! Whether the server can do its work.

use super::{read::ReadService, standings::Standings, writer::Writer};
use crate::{
    error::{Code, Error},
    hub::{Hub, LinkState},
    repository::HealthRepository,
};
use std::time::Duration;

/// How long the store may take to show a sign of life.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers for the server as a whole.
#[derive(Clone)]
pub struct HealthService {
    health: HealthRepository,
    hub: Hub,
    writer: Writer,
    standings: Standings,
    reads: ReadService,
}

impl HealthService {
    /// On these parts.
    #[must_use]
    pub fn new(
        health: HealthRepository,
        hub: Hub,
        writer: Writer,
        standings: Standings,
        reads: ReadService,
    ) -> Self {
        Self {
            health,
            hub,
            writer,
            standings,
            reads,
        }
    }

    /// Whether changes can be stored and read, and whether NATS is there. Without
    /// it this one is as ready: what it misses comes from the database a few seconds later.
    ///
    /// # Errors
    /// `unavailable` where the store does not answer within a second, or where a task has ended that
    /// the work cannot go on without.
    pub async fn ready(&self) -> Result<LinkState, Error> {
        if self.writer.is_closed() || self.standings.is_closed() || self.reads.is_closed() {
            let message =
                "The server is stopping, or a part of it has failed: it must be restarted";
            return Err(Error::new(Code::Unavailable, message));
        }
        let ping = tokio::time::timeout(LIMIT, self.health.ping()).await;
        ping.unwrap_or_else(|_| Err(Error::unavailable()))?;
        Ok(self.hub.link_state())
    }
}
