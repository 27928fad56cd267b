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
/// Not only white space, no U+0000.
const TEXT: &str = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$";
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
    LINE,
    "A user's name: unique, not only white space, no control characters."
);
schema!(
    ChatName,
    NAME_CHARS,
    LINE,
    "A chat's name: not only white space, no control characters. Several chats may share one."
);
schema!(
    Content,
    CONTENT_BYTES,
    TEXT,
    "A message's text: at most 16 KiB in UTF-8, not only white space, without U+0000."
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
    "A password: at most 1,024 bytes in UTF-8, without U+0000. Where callers sign in, a new one has at \
     least 8 bytes and is not easily guessed."
);
