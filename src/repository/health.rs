//! Whether the store answers.

use crate::{error::Error, store::Store};

/// Asks the store for a sign of life.
#[derive(Clone)]
pub struct HealthRepository(Store);

impl HealthRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}
