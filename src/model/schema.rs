//! The limits of the texts as the API's document tells them. What JSON Schema cannot say, that a
//! limit counts bytes, stands in the description.

use super::text::{
    CLIENT_MESSAGE_ID_CHARS, CONTENT_BYTES, ChatName, ClientMessageId, Content, NAME_CHARS,
    PASSWORD_BYTES, Password, Username,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Not only white space, no control characters.
const LINE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Characters beyond white space that show nothing: zero-width ones, joiners, fillers, blanks. Patterns
/// reach no further than U+FFFF.
macro_rules! unseen {
    () => {
        "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
    };
}
/// Control characters, ends of lines, characters that change the direction of text.
macro_rules! unruly {
    () => {
        "\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
    };
}
/// A visible character, none that are unruly.
const NAME: &str = concat!(
    "^[^",
    unruly!(),
    "]*[^\\s",
    unseen!(),
    "][^",
    unruly!(),
    "]*$"
);
/// A visible character, no U+0000.
const TEXT: &str = concat!("^[^\\u0000]*[^\\s", unseen!(), "][^\\u0000]*$");
/// No U+0000.
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
    "A user's name, stored in normal form C: at least one visible character, no control characters and \
     none that change the direction of text. Unique: names that look alike (UTS 39) are one name."
);
schema!(
    ChatName,
    NAME_CHARS,
    NAME,
    "A chat's name, stored in normal form C: at least one visible character, no control characters and \
     none that change the direction of text. Several chats may share one."
);
schema!(
    Content,
    CONTENT_BYTES,
    TEXT,
    "A message's text: at most 16 KiB in UTF-8, with at least one visible character, without U+0000."
);
schema!(
    ClientMessageId,
    CLIENT_MESSAGE_ID_CHARS,
    LINE,
    "The name a client gives a message so that sending it again does not double it: not only \
     white space, no control characters."
);
schema!(
    Password,
    PASSWORD_BYTES,
    NO_NUL,
    "A password: at most 1,024 bytes in UTF-8, without U+0000; all spaces and all normal forms of it count \
     as one (RFC 8265). Where callers sign in, a new one has at least 8 bytes and is not easily guessed."
);
