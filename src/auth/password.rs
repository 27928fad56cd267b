//! How passwords are kept: argon2id, never as they came.

use crate::{error::Error, model::Password};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task, time};

/// OWASP's first recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes,
/// one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How long a caller waits for their turn before hearing `unavailable`.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// Hashes passwords on blocking threads, a bounded number at a time: each takes 19 MiB and a core
/// for a while, which a crowd of callers must not multiply. Cloning shares the bound.
#[derive(Clone)]
pub struct PasswordHasher {
    turns: Arc<Semaphore>,
}

impl PasswordHasher {
    /// At most `at_once` hashes at a time.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// The password's hash, in PHC format with its own random salt.
    ///
    /// # Errors
    /// `unavailable` where no turn comes within 5 s.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        let turn = time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(Error::unavailable());
        };
        let hashing = task::spawn_blocking(move || {
            let hash = hash(&password);
            drop(turn);
            hash
        });
        hashing.await.map_err(Error::internal)?
    }
}

fn hash(password: &Password) -> Result<String, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(Error::internal)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2
        .hash_password(password.as_bytes())
        .map_err(Error::internal)?;
    Ok(hash.to_string())
}
