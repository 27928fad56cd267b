//! A token that stands in the settings.

use sha2::{Digest, Sha256};

/// A token of the settings. Only its SHA-256 is kept, and hashes are compared: how long that takes
/// tells nothing about the token.
#[derive(Clone, Copy)]
pub struct FixedToken([u8; 32]);

impl FixedToken {
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
