//! Gives names that were stored without them their skeletons, behind the start and for as long as the
//! server runs: servers of an older version beside this one store names without.

use crate::{error::Error, model::UserId, repository::SkeletonRepository};
use std::time::Duration;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// From the end of one round to the next.
const PERIOD: Duration = Duration::from_secs(60);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// The task that looks for names without skeletons.
pub struct SkeletonBackfill(SkeletonRepository);

impl SkeletonBackfill {
    /// On this store.
    #[must_use]
    pub fn new(names: SkeletonRepository) -> Self {
        Self(names)
    }

    /// Works until `stop`. What is left then is done by the next server that starts.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = async {
            loop {
                if let Err(error) = self.round().await {
                    error.log();
                }
                time::sleep(PERIOD).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Steps through all names without skeletons once. After each step it rests for as long as that took,
    /// so that at least half of the store is everyone else's.
    async fn round(&self) -> Result<(), Error> {
        let mut after = UserId(0);
        loop {
            let begun = Instant::now();
            let step = time::timeout(STEP_LIMIT, self.0.step(after)).await;
            match step.unwrap_or_else(|_| Err(Error::unavailable()))? {
                Some(last) => after = last,
                None => return Ok(()),
            }
            time::sleep(begun.elapsed()).await;
        }
    }
}
