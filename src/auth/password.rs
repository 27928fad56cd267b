//! How passwords are kept: argon2id, never as they came.

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

/// OWASP's first recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes,
/// one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How long a caller waits for their turn before hearing `unavailable`.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// Callers that may wait for each turn; the next one hears `unavailable` at once. A turn takes some
/// 20 ms, so whoever waits gets theirs within the limit.
const WAITING_PER_TURN: usize = 128;
/// Of those who choose a password, half as many.
const CHOOSING_PER_TURN: usize = WAITING_PER_TURN / 2;
/// Shortest password where one is needed at all, in bytes (NIST SP 800-63B, section 5.1.1.2).
const SHORTEST: usize = 8;
/// Fewest guesses that a password must be worth: everything that guessers try first, with the usual
/// disguises, is far below.
const FEWEST_GUESSES: u64 = 1_000_000;

/// Characters of a password that are judged at once. The time it takes grows with their third power and
/// more: of 16 it is a fifth of a hash at worst (10 ms beside 55 ms); of 100 it was that of 15 hashes.
const JUDGED: usize = 16;

/// What a new password must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRules {
    /// Anything: on a developer's own machine, as in the original.
    Any,
    /// At least 8 bytes, and none of those that are tried first.
    Strong,
}

impl PasswordRules {
    /// Checks what is known of a password without any work.
    ///
    /// # Errors
    /// `invalid_field`, with what would be right.
    fn check_form(self, password: &Password) -> Result<(), Error> {
        match self {
            Self::Strong if password.as_bytes().len() < SHORTEST => {
                Err(Error::invalid_field("password", "at least 8 bytes long"))
            }
            Self::Strong | Self::Any => Ok(()),
        }
    }

    /// Whether a user of this name may have such a password.
    fn allow(self, password: &Password, username: &str) -> bool {
        let form = self.check_form(password);
        form.and_then(|()| self.check_strength(password, username))
            .is_ok()
    }

    /// Checks how hard a password is to guess that a user of this name wants.
    ///
    /// # Errors
    /// `invalid_field`, with what would be right.
    fn check_strength(self, password: &Password, username: &str) -> Result<(), Error> {
        if self == Self::Strong && !is_strong(password.as_str(), username) {
            let expected = "harder to guess: this one is among the first that are tried; \
                            several words that do not belong together are good";
            return Err(Error::invalid_field("password", expected));
        }
        Ok(())
    }
}

/// Whether the beginning or the end of a password takes enough guesses: the whole takes no fewer.
fn is_strong(password: &str, username: &str) -> bool {
    let is_long = |text: &str| text.chars().nth(JUDGED).is_some();
    // A part of a long name is not known as one.
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

/// What became of a password that was to be proved.
#[derive(Debug)]
pub enum Verification {
    /// It is not the one.
    Wrong,
    /// It is the one.
    Right {
        /// Its hash by the present parameters, where the stored one has others, is of the password before
        /// it was prepared, or is none yet.
        rehashed: Option<String>,
        /// Whether a user of this name might choose it today. One chosen where anything was allowed may
        /// not be.
        keeps_rules: bool,
    },
}

/// Hashes passwords on blocking threads, a bounded number at a time: each takes 19 MiB and a core
/// for a while, which a crowd of callers must not multiply. Cloning shares the bound.
#[derive(Clone)]
pub struct PasswordHasher {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Of those who choose a password, as many as there are turns wait in the line for them; the others
    /// wait here. Whoever signs in comes after few of them, however many there are.
    choosers: Arc<Semaphore>,
    choosing: Arc<Semaphore>,
    rules: PasswordRules,
}

impl PasswordHasher {
    /// At most `at_once` hashes at a time, of passwords that keep the rules.
    #[must_use]
    pub fn new(at_once: usize, rules: PasswordRules) -> Self {
        let places = |waiting| Arc::new(Semaphore::new(at_once * (1 + waiting)));
        Self {
            turns: places(0),
            waiting: places(WAITING_PER_TURN),
            choosers: places(0),
            choosing: places(CHOOSING_PER_TURN),
            rules,
        }
    }

    /// The password's hash, in PHC format with its own random salt.
    ///
    /// # Errors
    /// `unavailable` where no turn comes within 5 s.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        self.in_turn(move || hash(&password)).await
    }

    /// The same of a password that a user of this name chose. Anybody may sign up, and must keep nobody
    /// from signing in.
    ///
    /// # Errors
    /// `invalid_field` where it breaks the rules; `unavailable` as above.
    pub async fn hash_chosen(&self, password: Password, username: &str) -> Result<String, Error> {
        self.rules.check_form(&password)?;
        let _place = self.choosing.try_acquire().map_err(|_| Error::busy())?;
        let chooser = time::timeout(TURN_LIMIT, self.choosers.clone().acquire_owned()).await;
        let Ok(Ok(chooser)) = chooser else {
            return Err(Error::busy());
        };
        // Apart from the turns: whoever only proves a password must not wait for it.
        let (rules, username) = (self.rules, username.to_owned());
        let judging = task::spawn_blocking(move || {
            let checked = rules.check_strength(&password, &username);
            checked.map(|()| (password, chooser))
        });
        let (password, _chooser) = judging.await.map_err(Error::internal)??;
        self.in_turn(move || hash(&password)).await
    }

    /// Whether this is the password of a user that was stored so. Where nothing is stored, or nothing
    /// that a password could match, it takes as long and is wrong.
    ///
    /// # Errors
    /// `unavailable` as above.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
        username: String,
    ) -> Result<Verification, Error> {
        let rules = self.rules;
        let allowed = move |password: &Password| rules.allow(password, &username);
        self.in_turn(move || verify(&password, stored.as_deref(), allowed))
            .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turn().await?;
        let working = task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(Error::internal)?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let _place = self.waiting.try_acquire().map_err(|_| Error::busy())?;
        match time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Error::busy()),
        }
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

/// Tries the password as it is prepared, then as it was given where that is another form: for a hash from
/// before passwords were prepared. A wrong name tries as often as a wrong password.
fn verify(
    password: &Password,
    stored: Option<&str>,
    allowed: impl Fn(&Password) -> bool,
) -> Result<Verification, Error> {
    if let Some(plain) = stored.and_then(|stored| stored.strip_prefix(PLAIN_MARK)) {
        return verify_plain(password, plain, allowed);
    }
    let nobodys = dummy_hash();
    let found = stored.and_then(|stored| PasswordHash::new(stored).ok());
    let is_somebodys = found.is_some();
    let hash_of = match found {
        Some(found) => found,
        None => PasswordHash::new(&nobodys).map_err(Error::internal)?,
    };
    let argon2 = argon2()?;
    let is = |bytes: &[u8]| argon2.verify_password(bytes, &hash_of).is_ok();
    let prepared = is(password.as_bytes());
    let proved = prepared || password.as_given().is_some_and(is);
    if !(proved && is_somebodys) {
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

/// The same of a password that is stored as it came, and not hashed yet. It takes as long, and the time
/// tells nothing of how much of it is right.
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

/// A hash by the present parameters that no password has.
fn dummy_hash() -> String {
    let (salt, output) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${output}")
}

/// Whether a stored hash was made by the present parameters.
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
    fn nobodys_hash_is_a_hash_by_the_present_parameters() {
        let nobodys = PasswordHash::new(&dummy_hash());
        assert!(nobodys.is_ok_and(|hash| is_present(&hash)));
    }

    #[test]
    fn a_hash_by_other_parameters_is_made_anew() {
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
    fn a_hash_of_what_was_typed_is_made_anew_of_the_prepared_form() {
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
    fn what_guessers_try_first_is_refused() {
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
