//! Prepares the data before the server serves.

use crate::{
    error::Error,
    model::UserId,
    repository::{DemoDataRepository, SkeletonRepository},
};

/// Prepares the data of a database with the current schema.
pub struct Startup {
    sample: DemoDataRepository,
    skeletons: SkeletonRepository,
}

impl Startup {
    /// Returns the preparation.
    #[must_use]
    pub fn new(sample: DemoDataRepository, skeletons: SkeletonRepository) -> Self {
        Self { sample, skeletons }
    }

    /// Fills an empty database with the sample data of the original application.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn fill_sample(&self) -> Result<(), Error> {
        if self.sample.fill().await? {
            tracing::info!("stored the sample data: carl, sigmund and gustav, general and random");
        }
        Ok(())
    }

    /// Stores the skeletons of the first names without them: all names in a small database. The backfill
    /// task does the rest while the server runs.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer.
    pub async fn fill_first_skeletons(&self) -> Result<(), Error> {
        self.skeletons.step(UserId(0)).await.map(drop)
    }
}
