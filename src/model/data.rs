//! Data of a client's own, which the server keeps without reading them.

use crate::error::Error;
use serde::{Serialize, Serializer, ser};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Maximum length of the data of a client, in bytes of JSON.
const DATA_BYTES: usize = 4 * 1024;

/// Object of JSON that a client stores with a chat, at most 4 KiB, without U+0000. It is given back as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data(String);

impl Data {
    /// Checks data that a client gives. The JSON around them was parsed before.
    ///
    /// # Errors
    /// `too_large` if they are longer than 4 KiB; `invalid_field` if they are no object, or contain U+0000.
    pub fn parse(json: &RawValue) -> Result<Self, Error> {
        let text = json.get();
        if text.len() > DATA_BYTES {
            return Err(Error::too_large("data", DATA_BYTES));
        }
        if !text.starts_with('{') || has_nul(text) {
            return Err(Error::invalid_field(
                "data",
                "an object of JSON without U+0000",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text of the JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns data as stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

/// True if a text of JSON has the escape of U+0000. An escaped backslash before a `u` is none.
fn has_nul(json: &str) -> bool {
    let mut rest = json;
    while let Some(place) = rest.find('\\') {
        if rest[place..].starts_with("\\u0000") {
            return true;
        }
        // A backslash has a character after it, and that is of one byte.
        rest = rest.get(place + 2..).unwrap_or_default();
    }
    false
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        json.serialize(output)
    }
}

impl PartialSchema for Data {
    fn schema() -> RefOr<Schema> {
        let description = "Data of the client's own: an object of JSON of at most 4 KiB, without U+0000. It is \
                           stored and given back as it came.";
        let object = ObjectBuilder::new().schema_type(Type::Object);
        RefOr::T(Schema::Object(
            object.description(Some(description)).build(),
        ))
    }
}

impl ToSchema for Data {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_an_object_of_at_most_4_kib() {
        let parse = |json: &str| {
            let raw: Result<&RawValue, _> = serde_json::from_str(json);
            raw.is_ok_and(|raw| Data::parse(raw).is_ok())
        };
        assert!(parse(r#"{"a": [1, {"b": "\\u0000"}]}"#));
        assert!(!parse(r#"{"a": "\u0000"}"#));
        assert!(!parse(r#"{"\\\u0000": 1}"#));
        assert!(!parse("[]") && !parse("7") && !parse("null"));
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(parse(&long(4096)) && !parse(&long(4097)));
    }
}
