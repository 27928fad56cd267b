//! Whether the server can do its work.

use crate::{
    error::Error,
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
}

impl HealthService {
    /// On these parts.
    #[must_use]
    pub fn new(health: HealthRepository, hub: Hub) -> Self {
        Self { health, hub }
    }

    /// Whether changes can be stored and read, and whether NATS is there. Without
    /// it this one is as ready: what it misses comes from the database a few seconds later.
    ///
    /// # Errors
    /// `unavailable` where the store does not answer within a second.
    pub async fn ready(&self) -> Result<LinkState, Error> {
        let ping = tokio::time::timeout(LIMIT, self.health.ping()).await;
        ping.unwrap_or_else(|_| Err(Error::unavailable()))?;
        Ok(self.hub.link_state())
    }
}
