//! Passwords that the original stored as they came: hashed behind the start, while everyone works.

use crate::{
    auth::PasswordHasher,
    error::Error,
    model::{Password, UserId},
    repository::{LegacyPassword, LegacyPasswordRepository},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// Passwords that are read at once.
const PAGE: i64 = 64;
/// How soon again after a failure: no turn to hash, or no store.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the log hears how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Replaces plain passwords by hashes of them. Safe to break off, to repeat, and to run on several
/// servers at once: each replaces only passwords that are still as it read them.
pub struct LegacyPasswords {
    takeover: LegacyPasswordRepository,
    passwords: PasswordHasher,
    at_once: usize,
}

impl LegacyPasswords {
    /// On these parts, so many at once; who signs in meanwhile waits behind them for a turn.
    #[must_use]
    pub fn new(
        takeover: LegacyPasswordRepository,
        passwords: PasswordHasher,
        at_once: usize,
    ) -> Self {
        Self {
            takeover,
            passwords,
            at_once,
        }
    }

    /// Works until every password is hashed, and ends with `stop`. The rest is for the next start.
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

    /// Replaces all that there are.
    ///
    /// # Errors
    /// `unavailable` where the store is, or where others hash too many; what was replaced stays so.
    pub async fn hash_all(&self) -> Result<(), Error> {
        let all = self.takeover.count().await?;
        if all == 0 {
            return Ok(());
        }
        tracing::info!(
            passwords = all,
            "passwords are stored as they came; hashing them"
        );
        let (mut hashed, mut told) = (0, Instant::now());
        let mut after = UserId(0);
        loop {
            let page = self.takeover.plain_passwords(after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.user();
            hashed += page.len();
            let hashing = stream::iter(page).map(|plain| self.replace(plain));
            let hashing = hashing.buffer_unordered(self.at_once.max(1));
            hashing.try_collect::<()>().await?;
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                tracing::info!(hashed, of = all, "hashing passwords");
            }
        }
        tracing::info!(hashed, "replaced plain passwords by argon2id hashes");
        Ok(())
    }

    async fn replace(&self, plain: LegacyPassword) -> Result<(), Error> {
        let password = Password::taken_over(plain.text().to_owned());
        let hash = self.passwords.hash(password).await?;
        self.takeover.replace(&plain, &hash).await
    }
}
