//! Whether the server can do its work.

use crate::{error::Error, repository::HealthRepository};
use std::time::Duration;

/// How long the store may take to show a sign of life.
const LIMIT: Duration = Duration::from_secs(1);

/// Answers for the server as a whole.
#[derive(Clone)]
pub struct HealthService(HealthRepository);

impl HealthService {
    /// On this store.
    #[must_use]
    pub fn new(health: HealthRepository) -> Self {
        Self(health)
    }

    /// Whether changes can be stored and read.
    ///
    /// # Errors
    /// `unavailable` where the store does not answer within a second.
    pub async fn ready(&self) -> Result<(), Error> {
        let ping = tokio::time::timeout(LIMIT, self.0.ping()).await;
        ping.unwrap_or_else(|_| Err(Error::unavailable()))
    }
}
