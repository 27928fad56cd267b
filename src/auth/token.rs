//! Secrets that clients present: session tokens, and the fixed token of the settings.

use crate::error::Error;
use sha2::{Digest, Sha256};
use std::fmt;

/// Random bytes in a session token: 256 bits, too many to guess.
const BYTES: usize = 32;

/// A session token: 64 hexadecimal digits without meaning. The token appears only in the answer to
/// a login. The database stores its SHA-256, so a reader of the database cannot sign in with it. A
/// slow hash would add nothing, because the token is random.
pub struct SessionToken(String);

impl SessionToken {
    /// Creates a token with the random generator of the operating system.
    ///
    /// # Errors
    /// `internal` if the system provides no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Parses a token from a client. Returns `None` if the text is not 64 lower-case hexadecimal
    /// digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (digits && text.len() == 2 * BYTES).then(|| Self(text.to_owned()))
    }

    /// Returns the SHA-256 of the token, under which the database stores the session.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Returns the text of the token, for the answer to the login.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// A token from the settings. Only its SHA-256 is kept, and hashes are compared, so the time of a
/// comparison reveals nothing about the token.
#[derive(Clone, Copy)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// Creates the secret from its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Returns true if `text` is the secret.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0 == Self::new(text).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_digits_and_never_shows_itself() {
        let tokens: Vec<SessionToken> = (0..2)
            .filter_map(|_| SessionToken::generate().ok())
            .collect();
        let [one, other] = tokens.as_slice() else {
            panic!("two tokens");
        };
        assert_ne!(one.reveal(), other.reveal());
        assert!(!format!("{one:?}").contains(one.reveal()));
        let read = SessionToken::parse(one.reveal());
        assert_eq!(read.map(|token| token.hash()), Some(one.hash()));
    }

    #[test]
    fn a_malformed_token_is_refused() {
        let good = "0123456789abcdef".repeat(4);
        assert!(SessionToken::parse(&good).is_some());
        for wrong in ["", &good[1..], &good.to_uppercase(), &format!("{good} ")] {
            assert!(SessionToken::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
