//! Backfill of the latest message that each chat keeps. Chats lack it after an upgrade, and while nodes of an older
//! version run beside this version. The task runs in the background from the start to the end of the server.

use crate::{
    database::Database,
    error::{Error, within},
    model::ChatId,
};
use std::time::Duration;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// The time between the end of one round and the start of the next. A chat that is not current is listed
/// correctly meanwhile, but takes a look into its messages.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// The time to the next round after a failed one.
const AGAIN: Duration = Duration::from_secs(10);
/// The longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// The backfill task.
pub struct LastMessageBackfill(Database);

impl LastMessageBackfill {
    /// Returns the task.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Runs until `stop`. The next server to start does the rest.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = async {
            loop {
                let period = match self.round().await {
                    Ok(()) => PERIOD,
                    Err(error) => {
                        error.log();
                        AGAIN
                    }
                };
                time::sleep(period).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Steps once through all chats. After each step the task rests for as long as the step took, so that at
    /// least half of the database's time is left to other work.
    async fn round(&self) -> Result<(), Error> {
        let mut after = ChatId(0);
        loop {
            let begun = Instant::now();
            match within(STEP_LIMIT, self.0.last_messages().step(after)).await? {
                Some(last) => after = last,
                None => return Ok(()),
            }
            time::sleep(begun.elapsed()).await;
        }
    }
}
