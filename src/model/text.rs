//! Names, contents, keys and passwords with their limits. Handlers check each text once, on input.

use super::characters::{breaks_a_line, composed, is_space, is_visible};
use crate::error::Error;
use std::fmt;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Maximum length of the name of a user or a chat, in characters: the column width of the original API.
pub(super) const NAME_CHARS: usize = 255;
/// Maximum length of a message's content, in bytes. JSON escapes can make it six times as long.
pub const CONTENT_BYTES: usize = 16 * 1024;
/// Maximum length of the topic of a chat, in characters.
pub(super) const TOPIC_CHARS: usize = 1000;
/// Maximum length of a password, in bytes. It bounds the work that a caller can cause by one hash.
pub(super) const PASSWORD_BYTES: usize = 1024;
/// Prefix of a stored password that is not hashed yet. No hash starts with it.
pub const PLAIN_MARK: &str = "plain:";
/// Maximum length of a `clientMessageId`, in characters.
pub(super) const CLIENT_MESSAGE_ID_CHARS: usize = 64;

/// Checks a name by the rules of all versions, so that it accepts every name that a stored user may have.
pub(super) fn sought(name: &str) -> Result<(), Error> {
    line("username", name, NAME_CHARS).map(drop)
}

/// Checks that a text has 1 to `max` characters, no control characters, and not only white space.
fn line<T: AsRef<str>>(field: &'static str, text: T, max: usize) -> Result<T, Error> {
    let line = text.as_ref();
    let good = !line.trim().is_empty()
        && !line.chars().any(char::is_control)
        && line.chars().count() <= max;
    if good {
        return Ok(text);
    }
    let expected =
        format!("1 to {max} characters, not only white space, without control characters");
    Err(Error::invalid_field(field, &expected))
}

/// Converts a name to normal form C and checks that it is safe to show on one line.
fn name(field: &'static str, text: String) -> Result<String, Error> {
    let text = composed(text);
    let good =
        is_visible(&text) && !text.chars().any(breaks_a_line) && text.chars().count() <= NAME_CHARS;
    if good {
        return Ok(text);
    }
    let expected = format!(
        "1 to {NAME_CHARS} characters, at least one of them visible, without control characters and \
         characters that change the direction of text"
    );
    Err(Error::invalid_field(field, &expected))
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the text without a copy.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
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
    /// Name of a user: 1 to 255 characters in normal form C, at least one of them visible, without control
    /// and direction characters. No two users have names that look alike.
    Username
);
text!(
    /// Name of a chat: 1 to 255 characters in normal form C, at least one of them visible, without control
    /// and direction characters. Several chats may have one name.
    ChatName
);
text!(
    /// Topic of a chat: 1 to 1,000 characters, not only white space, without control characters.
    Topic
);
text!(
    /// Text of a message: 1 byte to 16 KiB, with at least one visible character, without U+0000.
    Content
);
text!(
    /// Idempotency key of a message, which the client chooses so that a repeated send stores no second
    /// message: 1 to 64 characters, not only white space, without control characters.
    ClientMessageId
);

impl Username {
    /// Converts the name of a user to normal form C and checks it.
    ///
    /// # Errors
    /// `invalid_field` if the name breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        name("username", text).map(Self)
    }
}

impl ChatName {
    /// Converts the name of a chat to normal form C and checks it.
    ///
    /// # Errors
    /// `invalid_field` if the name breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        name("chatName", text).map(Self)
    }
}

impl ClientMessageId {
    /// Checks an idempotency key.
    ///
    /// # Errors
    /// `invalid_field` if the key breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        line("clientMessageId", text, CLIENT_MESSAGE_ID_CHARS).map(Self)
    }
}

impl Topic {
    /// Checks the topic of a chat.
    ///
    /// # Errors
    /// `invalid_field` if the topic breaks the limits.
    pub fn parse(text: String) -> Result<Self, Error> {
        line("topic", text, TOPIC_CHARS).map(Self)
    }
}

impl Content {
    /// Checks the text of a message.
    ///
    /// # Errors
    /// `too_large` if the text is longer than 16 KiB; `invalid_field` if it has no visible character or
    /// contains U+0000.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.len() > CONTENT_BYTES {
            return Err(Error::too_large("content", CONTENT_BYTES));
        }
        if !is_visible(&text) || text.contains('\0') {
            let expected =
                "1 byte to 16 KiB of text, with at least one visible character, without U+0000";
            return Err(Error::invalid_field("content", expected));
        }
        Ok(Self(text))
    }
}

/// Password: 1 to 1,024 bytes, without U+0000. Its `Debug` output hides the text.
#[derive(Clone)]
pub struct Password {
    /// Text as the caller sent it.
    given: String,
    /// Form that is hashed; None if it equals `given`.
    prepared: Option<String>,
}

impl Password {
    /// Checks a password.
    ///
    /// # Errors
    /// `invalid_field` if the password is empty, longer than 1,024 bytes, or contains U+0000.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > PASSWORD_BYTES || text.contains('\0') {
            let expected = format!("1 to {PASSWORD_BYTES} bytes of text, without U+0000");
            return Err(Error::invalid_field("password", &expected));
        }
        Ok(Self::taken_over(text))
    }

    /// Accepts a password that an older database stored as plain text, without any check.
    #[must_use]
    pub fn taken_over(given: String) -> Self {
        let prepared = prepare(&given);
        let prepared = (prepared != given).then_some(prepared);
        Self { given, prepared }
    }

    /// Returns the prepared text, by which the strength is judged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.prepared.as_deref().unwrap_or(&self.given)
    }

    /// Returns the bytes to hash. They do not depend on the keyboard on which the password was typed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// Returns the bytes as the caller sent them, or None if they equal the bytes to hash. Hashes of an older
    /// version may be hashes of these bytes.
    #[must_use]
    pub fn as_given(&self) -> Option<&[u8]> {
        self.prepared.is_some().then_some(self.given.as_bytes())
    }
}

/// Prepares a password by RFC 8265 (OpaqueString, section 4.2.2): each space becomes U+0020, and the text is
/// converted to normal form C. Characters that the RFC disallows stay, because some emoji contain them.
fn prepare(text: &str) -> String {
    let spaced = text.chars().map(|c| if is_space(c) { ' ' } else { c });
    composed(spaced.collect())
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Pattern of a text without control characters and not only white space.
const LINE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Class of invisible characters other than white space: zero-width characters, joiners, fillers and blanks.
/// Characters beyond U+FFFF are missing, because patterns cannot express them.
macro_rules! invisible {
    () => {
        "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
    };
}
/// Class of characters that names may not contain: control characters, line ends, and characters that change
/// the direction of text.
macro_rules! forbidden_in_names {
    () => {
        "\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
    };
}
/// Pattern of a name: at least one visible character, and no forbidden ones.
const NAME: &str = concat!(
    "^[^",
    forbidden_in_names!(),
    "]*[^\\s",
    invisible!(),
    "][^",
    forbidden_in_names!(),
    "]*$"
);
/// Pattern of a message's text: at least one visible character, and no U+0000.
const TEXT: &str = concat!("^[^\\u0000]*[^\\s", invisible!(), "][^\\u0000]*$");
/// Pattern of a text without U+0000.
const NO_NUL: &str = "^[^\\u0000]*$";

fn text(max: usize, pattern: &str, description: &str) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max))
        .pattern(Some(pattern))
        .description(Some(description));
    schema.build().into()
}

macro_rules! schema {
    ($name:ident, $max:expr, $pattern:expr, $description:expr) => {
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text($max, $pattern, $description)
            }
        }

        impl ToSchema for $name {}
    };
}

schema!(
    Username,
    NAME_CHARS,
    NAME,
    "The name of a user, stored in Unicode normal form C. It has at least one visible character, \
     no control characters and no characters that change the direction of text. Names are unique, \
     and names that look alike (UTS 39) count as equal."
);
schema!(
    ChatName,
    NAME_CHARS,
    NAME,
    "The name of a chat, stored in Unicode normal form C. It has at least one visible character, \
     no control characters and no characters that change the direction of text. Names are not \
     unique."
);
schema!(
    Topic,
    TOPIC_CHARS,
    LINE,
    "The topic of a chat. It is not only white space and has no control characters."
);
schema!(
    Content,
    CONTENT_BYTES,
    TEXT,
    "The text of a message: at most 16 KiB in UTF-8, with at least one visible character and \
     without U+0000."
);
schema!(
    ClientMessageId,
    CLIENT_MESSAGE_ID_CHARS,
    LINE,
    "The idempotency key of a message, chosen by the client: a repeated send with the same key \
     stores no second message. It is not only white space and has no control characters."
);
schema!(
    Password,
    PASSWORD_BYTES,
    NO_NUL,
    "A password: at most 1,024 bytes in UTF-8, without U+0000. Different kinds of spaces count as \
     equal, and so do different Unicode normal forms (RFC 8265). In required mode, a new password \
     has at least 8 bytes and is hard to guess."
);

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
            "\u{200b}",
            "\u{3164}\u{2800}",
            "car\u{202e}l",
            "a\u{2028}b",
            &"x".repeat(256),
        ] {
            assert!(Username::parse(wrong.to_owned()).is_err(), "{wrong:?}");
            assert!(ChatName::parse(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_in_normal_form_c() {
        let name = Username::parse(format!("{}e\u{301}", "e\u{301}".repeat(254)));
        assert_eq!(
            name.ok().map(|name| name.to_string()),
            Some("é".repeat(255))
        );
        // The limit counts after conversion: normal form C decomposes some characters, such as U+0958.
        assert!(Username::parse("\u{958}".repeat(128)).is_err());
    }

    #[test]
    fn content_has_up_to_16_kib() {
        assert!(Content::parse("x".repeat(16_384)).is_ok());
        assert!(Content::parse("two\nlines".to_owned()).is_ok());
        assert!(Content::parse("e\u{301}".to_owned()).is_ok_and(|c| c.as_str().len() == 3));
        let wrong = ["", " \n\t", "\u{200b}\u{feff}", "\u{2800}", "a\0b"];
        for wrong in wrong
            .map(str::to_owned)
            .into_iter()
            .chain(["x".repeat(16_385)])
        {
            assert!(Content::parse(wrong).is_err());
        }
    }

    #[test]
    fn a_password_is_equal_on_all_keyboards() {
        let forms = ["caf\u{e9} noir", "cafe\u{301} noir", "caf\u{e9}\u{a0}noir"];
        for form in forms {
            let password = Password::taken_over(form.to_owned());
            assert_eq!(password.as_str(), forms[0]);
            let given = (form != forms[0]).then_some(form.as_bytes());
            assert_eq!(password.as_given(), given);
        }
        assert_eq!(
            Password::taken_over("Ａ".to_owned()).as_str(),
            "Ａ",
            "no other folding"
        );
    }

    #[test]
    fn a_password_is_not_in_its_debug_output() {
        let password = Password::parse("secret".to_owned());
        assert!(!format!("{password:?}").contains("secret"));
        assert!(Password::parse("x".repeat(1025)).is_err());
    }
}
