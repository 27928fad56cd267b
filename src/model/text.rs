//! Texts with their limits, checked once where they come in.

use crate::error::Error;
use std::fmt;

/// Longest name of a user or a chat, in characters: the width of the original's columns.
pub(super) const NAME_CHARS: usize = 255;
/// Longest message content, in bytes.
pub(super) const CONTENT_BYTES: usize = 16 * 1024;
/// Longest password, in bytes: hashing must not become work that a caller can size at will.
pub(super) const PASSWORD_BYTES: usize = 1024;
/// Longest `clientMessageId`, in characters.
pub(super) const CLIENT_MESSAGE_ID_CHARS: usize = 64;

/// A text that is safe to show on one line: not blank, no control characters, `max` characters.
fn line(field: &'static str, text: String, max: usize) -> Result<String, Error> {
    let good = !text.trim().is_empty()
        && !text.chars().any(char::is_control)
        && text.chars().count() <= max;
    if good {
        return Ok(text);
    }
    let expected =
        format!("1 to {max} characters, not only white space, without control characters");
    Err(Error::invalid_field(field, &expected))
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// A user's name: 1 to 255 characters, not only white space, no control characters. Unique.
    Username
);
text!(
    /// A chat's name: 1 to 255 characters, not only white space, no control characters.
    ChatName
);
text!(
    /// A message's text: 1 byte to 16 KiB, not only white space, without U+0000.
    Content
);
text!(
    /// The name a client gives a message so that sending it again does not double it: 1 to 64
    /// characters, not only white space, no control characters.
    ClientMessageId
);

impl Username {
    /// Checks a name.
    ///
    /// # Errors
    /// `invalid_field` where it breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        line("username", text, NAME_CHARS).map(Self)
    }
}

impl ChatName {
    /// Checks a name.
    ///
    /// # Errors
    /// `invalid_field` where it breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        line("chatName", text, NAME_CHARS).map(Self)
    }
}

impl ClientMessageId {
    /// Checks a client's name for a message.
    ///
    /// # Errors
    /// `invalid_field` where it breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        line("clientMessageId", text, CLIENT_MESSAGE_ID_CHARS).map(Self)
    }
}

impl Content {
    /// Checks a message's text.
    ///
    /// # Errors
    /// `too_large` over 16 KiB, `invalid_field` where it is blank or holds U+0000.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.len() > CONTENT_BYTES {
            return Err(Error::too_large("content", CONTENT_BYTES));
        }
        if text.trim().is_empty() || text.contains('\0') {
            let expected = "1 byte to 16 KiB of text, not only white space, without U+0000";
            return Err(Error::invalid_field("content", expected));
        }
        Ok(Self(text))
    }
}

/// A password as a client sent it: 1 to 1,024 bytes, without U+0000. It shows itself nowhere.
pub struct Password(String);

impl Password {
    /// Checks a password.
    ///
    /// # Errors
    /// `invalid_field` where it is empty, too long or holds U+0000.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > PASSWORD_BYTES || text.contains('\0') {
            let expected = format!("1 to {PASSWORD_BYTES} bytes of text, without U+0000");
            return Err(Error::invalid_field("password", &expected));
        }
        Ok(Self(text))
    }

    /// Takes over a password that an older database kept as plain text, whatever it is.
    #[must_use]
    pub fn taken_over(text: String) -> Self {
        Self(text)
    }

    /// The text, to judge its strength by.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes to hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_255_characters_and_no_controls() {
        for good in ["carl", "Ärger", "名前", "a b", &"ü".repeat(255)] {
            assert!(Username::parse(good.to_owned()).is_ok(), "{good:?}");
            assert!(ChatName::parse(good.to_owned()).is_ok(), "{good:?}");
        }
        for wrong in [
            "",
            " ",
            "\u{3000}",
            "a\nb",
            "a\0",
            "\u{7f}",
            &"x".repeat(256),
        ] {
            assert!(Username::parse(wrong.to_owned()).is_err(), "{wrong:?}");
            assert!(ChatName::parse(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn content_has_up_to_16_kib() {
        assert!(Content::parse("x".repeat(16_384)).is_ok());
        assert!(Content::parse("two\nlines".to_owned()).is_ok());
        for wrong in ["", " \n\t", "a\0b", &"x".repeat(16_385)] {
            assert!(Content::parse(wrong.to_owned()).is_err());
        }
    }

    #[test]
    fn a_password_never_shows_itself() {
        let password = Password::parse("secret".to_owned());
        assert!(!format!("{password:?}").contains("secret"));
        assert!(Password::parse("x".repeat(1025)).is_err());
    }
}
