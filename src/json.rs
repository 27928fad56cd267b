//! Strict parsing of JSON from clients, with errors that name the invalid field. Used for request bodies
//! and WebSocket commands.

use crate::error::{Code, Error};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::error::Category;
use std::{fmt, marker::PhantomData};

/// Parses a JSON object into `T`. `place` names the object in error texts, for example "The body".
/// Unknown fields are ignored unless `T` denies them.
///
/// # Errors
/// `invalid_json` if the bytes are not exactly one JSON value. `invalid_field` if the JSON value is not an
/// object, or if a field is missing, repeated or of the wrong type.
pub fn read_object<T: DeserializeOwned>(json: &[u8], place: &str) -> Result<T, Error> {
    let not_json =
        |e: &dyn fmt::Display| Error::new(Code::InvalidJson, format!("{place} is not JSON: {e}"));
    let mut input = serde_json::Deserializer::from_slice(json);
    let Object(value) = serde_path_to_error::deserialize(&mut input).map_err(|e| {
        let path = e.path().to_string();
        let cause = e.into_inner();
        match cause.classify() {
            Category::Data if path == "." => {
                Error::new(Code::InvalidField, format!("{place}: {cause}"))
            }
            Category::Data => Error::new(Code::InvalidField, format!("{place}, {path}: {cause}")),
            Category::Syntax | Category::Eof | Category::Io => not_json(&cause),
        }
    })?;
    input.end().map_err(|e| not_json(&e))?;
    Ok(value)
}

/// Accepts only a JSON object for `T`. Without this wrapper serde also accepts an array of the fields.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChatId;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Thing {
        chat_id: ChatId,
    }

    #[test]
    fn an_invalid_body_yields_an_error_code_and_the_field_name() {
        let read = |text: &str| {
            let thing = read_object::<Thing>(text.as_bytes(), "The body");
            thing.map_or_else(
                |e| (e.code().as_str(), e.to_string()),
                |thing| ("ok", thing.chat_id.to_string()),
            )
        };
        assert_eq!(read(r#"{"chatId":1,"more":2}"#).0, "ok");
        for wrong in [
            "",
            r#"{"chatId":1"#,
            r#"{"chatId":1} x"#,
            "hello",
            "\u{feff}{}",
        ] {
            assert_eq!(read(wrong).0, "invalid_json", "{wrong}");
        }
        for wrong in ["[1]", "{}", "null", "7", r#"{"chatId":1,"chatId":2}"#] {
            assert_eq!(read(wrong).0, "invalid_field", "{wrong}");
        }
        let (code, message) = read(r#"{"chatId":"1"}"#);
        assert_eq!(code, "invalid_field");
        assert!(message.starts_with("The body, chatId: "), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9a-zI]{0,40}") {
            for bytes in [&bytes, text.as_bytes()] {
                if let Err(error) = read_object::<Thing>(bytes, "The body") {
                    assert!(matches!(error.code(), Code::InvalidJson | Code::InvalidField));
                    assert!(error.to_string().starts_with("The body"), "{error}");
                }
            }
        }

        #[test]
        fn a_valid_object_is_parsed(id in 1..=i64::MAX, space in "[ \\t\\r\\n]{0,5}") {
            let text = format!("{space}{{{space}\"chatId\"{space}:{space}{id}{space}}}{space}");
            let thing = read_object::<Thing>(text.as_bytes(), "The body");
            assert_eq!(thing.ok().map(|thing| thing.chat_id), Some(ChatId(id)));
        }
    }
}
