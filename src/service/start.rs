//! What is done to the data when the server starts.

use crate::{
    auth::PasswordHasher,
    error::Error,
    model::{Password, UserId},
    repository::{SampleRepository, SkeletonRepository, TakeoverRepository},
};

/// Passwords that are read at once while a database is taken over.
const AT_ONCE: i64 = 64;

/// Prepares the data of a database whose tables are up to date.
pub struct Start {
    takeover: TakeoverRepository,
    sample: SampleRepository,
    skeletons: SkeletonRepository,
    passwords: PasswordHasher,
}

impl Start {
    /// On these parts.
    #[must_use]
    pub fn new(
        takeover: TakeoverRepository,
        sample: SampleRepository,
        skeletons: SkeletonRepository,
        passwords: PasswordHasher,
    ) -> Self {
        Self {
            takeover,
            sample,
            skeletons,
            passwords,
        }
    }

    /// Hashes every password that the original stored as it came. Safe to break off, to repeat,
    /// and to run on several servers at once.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn hash_plain_passwords(&self) -> Result<(), Error> {
        let mut hashed = 0_u64;
        loop {
            let plain = self.takeover.plain_passwords(AT_ONCE).await?;
            if plain.is_empty() {
                break;
            }
            for plain in plain {
                let password = Password::taken_over(plain.text().to_owned());
                let hash = self.passwords.hash(password).await?;
                self.takeover.replace(&plain, &hash).await?;
                hashed += 1;
            }
        }
        if hashed > 0 {
            tracing::info!(hashed, "replaced plain passwords by argon2id hashes");
        }
        Ok(())
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
