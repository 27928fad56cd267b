//! What is done to the data when the server starts.

use crate::{
    error::Error,
    model::UserId,
    repository::{SampleRepository, SkeletonRepository},
};

/// Prepares the data of a database whose tables are up to date.
pub struct Start {
    sample: SampleRepository,
    skeletons: SkeletonRepository,
}

impl Start {
    /// On this store.
    #[must_use]
    pub fn new(sample: SampleRepository, skeletons: SkeletonRepository) -> Self {
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
