//! What a client proves itself with.

use crate::error::Error;
use sha2::{Digest, Sha256};
use std::fmt;

/// Random bytes in a token: 256 bits, which nobody guesses.
const BYTES: usize = 32;

/// A session's token: 64 hexadecimal digits that say nothing. It shows itself nowhere but in the
/// answer to a login, and is stored as its SHA-256 alone: whoever reads the database cannot sign in
/// with what they find. The token being random, a slow hash would add nothing.
pub struct SessionToken(String);

impl SessionToken {
    /// A new one, from the operating system's generator.
    ///
    /// # Errors
    /// `internal` where the system has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Reads what a client sent; none where no token looks like it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (digits && text.len() == 2 * BYTES).then(|| Self(text.to_owned()))
    }

    /// What the database keeps, and finds it by.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The text itself, for the one answer that carries it.
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

/// A token of the settings. Only its SHA-256 is kept, and hashes are compared: how long that takes
/// tells nothing about the token.
#[derive(Clone, Copy)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// Of its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether it is this one.
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
    fn what_does_not_look_like_a_token_is_none() {
        let good = "0123456789abcdef".repeat(4);
        assert!(SessionToken::parse(&good).is_some());
        for wrong in ["", &good[1..], &good.to_uppercase(), &format!("{good} ")] {
            assert!(SessionToken::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
