//! Migration of passwords that the original application stored as plain text. They are hashed in the
//! background after the start, while the server is in use.

use crate::{
    auth::PasswordHasher,
    database::Database,
    error::Error,
    model::{Password, UserId},
    repository::LegacyPassword,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// The number of passwords read in one query.
const PAGE: i64 = 64;
/// The time to the next attempt after a failure, if no hash permit was free or the database did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// The time between two progress lines in the log.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

/// Replaces plain passwords by argon2id hashes. Safe to interrupt, to repeat, and to run on several servers
/// at once: a password is replaced only if it is unchanged since it was read.
pub struct LegacyPasswords {
    database: Database,
    passwords: PasswordHasher,
    at_once: usize,
}

impl LegacyPasswords {
    /// Returns the task. It hashes at most `at_once` passwords at a time, and a login may wait behind them
    /// for a hash permit.
    #[must_use]
    pub fn new(database: Database, passwords: PasswordHasher, at_once: usize) -> Self {
        Self {
            database,
            passwords,
            at_once,
        }
    }

    /// Hashes all plain passwords, then waits for `stop`. The next start does the rest.
    pub async fn run(self, stop: CancellationToken) {
        let working = async {
            while let Err(error) = self.hash_all().await {
                error.log();
                time::sleep(AGAIN).await;
            }
            stop.cancelled().await;
        };
        stop.run_until_cancelled(working).await;
    }

    /// Hashes all plain passwords.
    ///
    /// # Errors
    /// `unavailable` if the database does not answer, or if no hash permit is free. Replaced passwords stay
    /// replaced.
    pub async fn hash_all(&self) -> Result<(), Error> {
        let legacy = self.database.legacy_passwords();
        let all = legacy.count().await?;
        if all == 0 {
            return Ok(());
        }
        tracing::info!(
            passwords = all,
            "passwords are stored without a hash; hashing them"
        );
        let (mut hashed, mut last_report) = (0, Instant::now());
        let mut after = UserId(0);
        loop {
            let page = legacy.plain_passwords(after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.user();
            hashed += page.len();
            let hashing = stream::iter(page).map(|plain| self.replace(plain));
            let hashing = hashing.buffer_unordered(self.at_once.max(1));
            hashing.try_collect::<()>().await?;
            if last_report.elapsed() >= REPORT_PERIOD {
                last_report = Instant::now();
                tracing::info!(hashed, of = all, "hashing passwords");
            }
        }
        tracing::info!(hashed, "replaced plain passwords with argon2id hashes");
        Ok(())
    }

    async fn replace(&self, plain: LegacyPassword) -> Result<(), Error> {
        let password = Password::taken_over(plain.text().to_owned());
        let hash = self.passwords.hash(password).await?;
        let legacy = self.database.legacy_passwords();
        legacy.replace(&plain, &hash).await
    }
}
