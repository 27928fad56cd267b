//! Backfill of the skeletons of user names. Names are stored without skeletons by older versions, also
//! while they run beside this version. The task runs in the background from the start to the end of the
//! server.

use crate::{
    database::Database,
    error::{Error, within},
    model::UserId,
};
use std::time::Duration;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// The time between the end of one round and the start of the next.
const PERIOD: Duration = Duration::from_secs(60);
/// The longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// The backfill task.
pub struct SkeletonBackfill(Database);

impl SkeletonBackfill {
    /// Returns the task.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Runs until `stop`. The next server to start does the rest.
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

    /// Steps once through all names without skeletons. After each step the task rests for as long as the
    /// step took, so that at least half of the database's time is left to other work.
    async fn round(&self) -> Result<(), Error> {
        let mut after = UserId(0);
        loop {
            let begun = Instant::now();
            match within(STEP_LIMIT, self.0.skeletons().step(after)).await? {
                Some(last) => after = last,
                None => return Ok(()),
            }
            time::sleep(begun.elapsed()).await;
        }
    }
}
