//! Password hashing with argon2id, and the rules for new passwords.

use crate::{
    error::Error,
    model::{PLAIN_MARK, Password},
};
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task, time,
};

/// Memory of one hash, in KiB. The three parameters are OWASP's first recommendation for argon2id
/// (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Parallel lanes.
const LANES: u32 = 1;
/// Time that a caller waits for a permit before the caller receives `unavailable`.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Callers that may wait per hash permit. The next caller receives `unavailable` at once. A hash
/// takes about 20 ms, so a waiting caller gets a permit within the time limit.
const WAITING_PER_PERMIT: usize = 128;
/// Callers with a new password that may wait per sign-up permit: half as many.
const SIGNUPS_PER_PERMIT: usize = WAITING_PER_PERMIT / 2;
/// Shortest password under `PasswordRules::Strong`, in bytes (NIST SP 800-63B, section 5.1.1.2).
const SHORTEST: usize = 8;
/// Fewest guesses that a strong password must take. The passwords that attackers try first, with
/// the usual substitutions, take far fewer.
const FEWEST_GUESSES: u64 = 1_000_000;

/// Characters of a password that are judged at once. The cost of the estimate grows at least with
/// the third power of the length. For 16 characters it takes at most a fifth of the time of a hash
/// (10 ms against 55 ms); for 100 characters it took the time of 15 hashes.
const JUDGED: usize = 16;

/// The rules for a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRules {
    /// Any password is accepted: for a developer's own machine, as in the original backend.
    Any,
    /// At least 8 bytes, and not among the passwords that attackers try first.
    Strong,
}

impl PasswordRules {
    /// Checks the rules that need no computation.
    ///
    /// # Errors
    /// `invalid_field`, with the expected form.
    fn check_form(self, password: &Password) -> Result<(), Error> {
        match self {
            Self::Strong if password.as_bytes().len() < SHORTEST => {
                Err(Error::invalid_field("password", "at least 8 bytes long"))
            }
            Self::Strong | Self::Any => Ok(()),
        }
    }

    /// Returns true if a user of this name may choose the password.
    fn allow(self, password: &Password, username: &str) -> bool {
        let form = self.check_form(password);
        form.and_then(|()| self.check_strength(password, username))
            .is_ok()
    }

    /// Checks that the password is hard to guess for a user of this name.
    ///
    /// # Errors
    /// `invalid_field`, with the expected form.
    fn check_strength(self, password: &Password, username: &str) -> Result<(), Error> {
        if self == Self::Strong && !is_strong(password.as_str(), username) {
            let expected = "harder to guess: attackers try passwords like this one first; several \
                            unrelated words make a good password";
            return Err(Error::invalid_field("password", expected));
        }
        Ok(())
    }
}

/// Returns true if the first or the last `JUDGED` characters take enough guesses. The whole
/// password takes at least as many guesses as a part of it.
fn is_strong(password: &str, username: &str) -> bool {
    let is_long = |text: &str| text.chars().nth(JUDGED).is_some();
    // A long name is removed first, because the estimate does not recognize a fragment of it.
    let rest = match is_long(username) {
        true => password
            .to_lowercase()
            .replace(&username.to_lowercase(), ""),
        false => password.to_owned(),
    };
    let judge = |part: &str| zxcvbn::zxcvbn(part, &[username]).guesses() >= FEWEST_GUESSES;
    let chars: Vec<char> = rest.chars().collect();
    let first: String = chars.iter().take(JUDGED).collect();
    let last: String = chars[chars.len().saturating_sub(JUDGED)..].iter().collect();
    judge(&first) || (is_long(&rest) && judge(&last))
}

/// The result of checking a password.
#[derive(Debug)]
pub enum Verification {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right {
        /// A hash with the current parameters, to be stored. Set if the stored hash has other
        /// parameters, is a hash of the typed instead of the prepared form, or is no hash yet.
        /// `None` if the stored hash is current.
        rehashed: Option<String>,
        /// True if a user of this name may choose the password today. A password that was chosen
        /// while any password was accepted may break the rules.
        keeps_rules: bool,
    },
}

/// Hashes passwords on blocking threads, a bounded number at a time. One hash occupies 19 MiB and a
/// CPU core, so the number must not grow with the number of callers. A clone shares the bound.
#[derive(Clone)]
pub struct PasswordHasher {
    hashes: PermitQueue,
    /// Permits to check and hash a new password. Sign-ups occupy at most this many places in the
    /// queue for hashes, so a flood of sign-ups delays a login by at most that many hashes.
    signups: PermitQueue,
    rules: PasswordRules,
}

/// Permits with a bounded queue of callers that wait for one.
#[derive(Clone)]
struct PermitQueue {
    permits: Arc<Semaphore>,
    /// Places of callers that wait for a permit.
    places: Arc<Semaphore>,
}

impl PermitQueue {
    /// Creates a queue of `permits` permits, with `waiting` places for each.
    fn new(permits: usize, waiting: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            places: Arc::new(Semaphore::new(permits * waiting)),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// `unavailable` if the queue is full, or if no permit is free within `PERMIT_TIMEOUT`.
    async fn acquire(&self) -> Result<OwnedSemaphorePermit, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::busy())?;
        match time::timeout(PERMIT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::busy()),
        }
    }
}

impl PasswordHasher {
    /// Creates a hasher that computes at most `at_once` hashes at a time. New passwords must
    /// satisfy `rules`.
    #[must_use]
    pub fn new(at_once: usize, rules: PasswordRules) -> Self {
        Self {
            hashes: PermitQueue::new(at_once, WAITING_PER_PERMIT),
            signups: PermitQueue::new(at_once, SIGNUPS_PER_PERMIT),
            rules,
        }
    }

    /// Returns the hash of a password, in PHC format with a new random salt.
    ///
    /// # Errors
    /// `unavailable` if no hash permit is free within 5 s, or if too many callers wait.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.with_permit(move || hash(&password)).await
    }

    /// Checks and hashes a password that a user of this name chose. Anyone may sign up, so sign-ups
    /// are limited apart from logins and cannot block them.
    ///
    /// # Errors
    /// `invalid_field` if the password breaks the rules. `unavailable` if no permit is free within
    /// 5 s, or if too many callers wait.
    pub async fn hash_chosen(&self, password: Password, username: &str) -> Result<String, Error> {
        self.rules.check_form(&password)?;
        let signup = self.signups.acquire().await?;
        // The check takes no hash permit, so that a login does not wait for it.
        let (rules, username) = (self.rules, username.to_owned());
        let judging = task::spawn_blocking(move || {
            let checked = rules.check_strength(&password, &username);
            checked.map(|()| (password, signup))
        });
        let (password, _signup) = judging.await.map_err(Error::internal)??;
        self.with_permit(move || hash(&password)).await
    }

    /// Checks a password against the stored hash of a user. If no hash is stored, or no password
    /// can match it, the check takes as long and the result is `Wrong`.
    ///
    /// # Errors
    /// `unavailable` if no hash permit is free within 5 s, or if too many callers wait.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
        username: String,
    ) -> Result<Verification, Error> {
        let rules = self.rules;
        let allowed = move |password: &Password| rules.allow(password, &username);
        self.with_permit(move || verify(&password, stored.as_deref(), allowed))
            .await
    }

    async fn with_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.hashes.acquire().await?;
        let working = task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        working.await.map_err(Error::internal)?
    }
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(Error::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Result<String, Error> {
    let hash = argon2()?
        .hash_password(password.as_bytes())
        .map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// Tries the prepared form of the password, then the typed form if the two differ. The typed form
/// matches a hash from before passwords were prepared. An unknown user name costs as many tries as
/// a wrong password, so the time does not reveal which names exist.
fn verify(
    password: &Password,
    stored: Option<&str>,
    allowed: impl Fn(&Password) -> bool,
) -> Result<Verification, Error> {
    if let Some(plain) = stored.and_then(|stored| stored.strip_prefix(PLAIN_MARK)) {
        return verify_plain(password, plain, allowed);
    }
    let dummy = dummy_hash();
    let found = stored.and_then(|stored| PasswordHash::new(stored).ok());
    let is_stored = found.is_some();
    let hash_of = match found {
        Some(found) => found,
        None => PasswordHash::new(&dummy).map_err(Error::internal)?,
    };
    let argon2 = argon2()?;
    let is = |bytes: &[u8]| argon2.verify_password(bytes, &hash_of).is_ok();
    let prepared = is(password.as_bytes());
    let proved = prepared || password.as_given().is_some_and(is);
    if !(proved && is_stored) {
        return Ok(Verification::Wrong);
    }
    let rehashed = match prepared && is_present(&hash_of) {
        true => None,
        false => Some(hash(password)?),
    };
    Ok(Verification::Right {
        rehashed,
        keeps_rules: allowed(password),
    })
}

/// Checks a password against one that is stored as plain text, not hashed yet. The check takes as
/// long as one against a hash. Digests are compared, so the time does not reveal how much of the
/// password is right.
fn verify_plain(
    password: &Password,
    plain: &str,
    allowed: impl Fn(&Password) -> bool,
) -> Result<Verification, Error> {
    let plain = Password::taken_over(plain.to_owned());
    let hash = hash(password)?;
    let digest = |text: &[u8]| Sha256::digest(text);
    match digest(password.as_bytes()) == digest(plain.as_bytes()) {
        true => Ok(Verification::Right {
            rehashed: Some(hash),
            keeps_rules: allowed(password),
        }),
        false => Ok(Verification::Wrong),
    }
}

/// Returns a hash with the current parameters that no password matches.
fn dummy_hash() -> String {
    let (salt, output) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${output}")
}

/// Returns true if a stored hash was made with the current parameters.
fn is_present(stored: &PasswordHash) -> bool {
    let present = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$");
    stored.to_string().starts_with(&present)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anything(_: &Password) -> bool {
        true
    }

    fn password(text: &str) -> Password {
        Password::taken_over(text.to_owned())
    }

    #[test]
    fn the_dummy_hash_has_the_current_parameters() {
        let dummy = PasswordHash::new(&dummy_hash());
        assert!(dummy.is_ok_and(|hash| is_present(&hash)));
    }

    #[test]
    fn a_hash_with_other_parameters_is_replaced() {
        let old = Params::new(8 * 1024, 1, 1, None)
            .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
            .ok()
            .and_then(|argon2| argon2.hash_password(b"correct horse").ok())
            .map(|hash| hash.to_string());
        let proof = verify(&password("correct horse"), old.as_deref(), anything);
        let Ok(Verification::Right {
            rehashed: Some(new),
            ..
        }) = proof
        else {
            panic!("{proof:?}");
        };
        let again = verify(&password("correct horse"), Some(&new), anything);
        assert!(matches!(
            again,
            Ok(Verification::Right { rehashed: None, .. })
        ));
        let wrong = verify(&password("correct cow"), Some(&new), anything);
        assert!(matches!(wrong, Ok(Verification::Wrong)));
    }

    #[test]
    fn a_hash_of_the_typed_form_is_replaced_by_one_of_the_prepared_form() {
        let typed = "cafe\u{301} noir";
        let old = argon2()
            .ok()
            .and_then(|argon2| argon2.hash_password(typed.as_bytes()).ok())
            .map(|hash| hash.to_string());
        let Ok(Verification::Right {
            rehashed: Some(new),
            ..
        }) = verify(&password(typed), old.as_deref(), anything)
        else {
            panic!("the form that was hashed");
        };
        for form in [typed, "caf\u{e9} noir", "caf\u{e9}\u{3000}noir"] {
            let proof = verify(&password(form), Some(&new), anything);
            assert!(
                matches!(proof, Ok(Verification::Right { rehashed: None, .. })),
                "{form}"
            );
        }
        let wrong = verify(&password("cafe noir"), Some(&new), anything);
        assert!(matches!(wrong, Ok(Verification::Wrong)));
    }

    #[test]
    fn a_password_that_is_not_hashed_yet_is_proved_and_hashed() {
        let stored = Some("plain:plain:correct horse");
        let proof = verify(&password("plain:correct horse"), stored, anything);
        let Ok(Verification::Right {
            rehashed: Some(hash),
            ..
        }) = proof
        else {
            panic!("{proof:?}");
        };
        let again = verify(&password("plain:correct horse"), Some(&hash), anything);
        assert!(matches!(
            again,
            Ok(Verification::Right { rehashed: None, .. })
        ));
        for wrong in ["correct horse", "plain:plain:correct horse", ""] {
            let proof = verify(&password(wrong), stored, anything);
            assert!(matches!(proof, Ok(Verification::Wrong)), "{wrong}");
        }
    }

    #[test]
    fn common_passwords_are_refused() {
        let allowed = |text| PasswordRules::Strong.allow(&password(text), "ferdinand");
        let late = format!("{}x8$kQp0!vw", "a".repeat(90));
        for good in ["correct horse", "Zug um halb neun", "x8$kQp0!vw", &late] {
            assert!(allowed(good), "{good}");
        }
        for wrong in [
            "short",
            "password",
            "P@ssw0rd",
            "12345678",
            "qwertyuiop",
            "iloveyou1",
            "aaaaaaaaaaaa",
            "ferdinand1",
        ] {
            assert!(!allowed(wrong), "{wrong}");
            assert!(PasswordRules::Any.allow(&password(wrong), "x"));
        }
        let long = "ferdinand of the long name";
        for wrong in [long, "Ferdinand of the LONG name7", &"abc".repeat(300)] {
            assert!(!is_strong(wrong, long), "{wrong}");
        }
    }
}
