//! The identity of a log, and a place in it.

use super::id::Seq;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        self, IntoDeserializer, MapAccess, Visitor,
        value::{I64Deserializer, MapAccessDeserializer, U64Deserializer},
    },
};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// The identity of the log that `seq` counts in: another one after an import or a restore. Clients
/// compare it and read nothing else from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Epoch(String);

impl Epoch {
    /// A new one, unlike all others.
    #[must_use]
    pub fn random() -> Self {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::keeps_epoch() {
            return Self("0".repeat(32));
        }
        Self(Uuid::new_v4().simple().to_string())
    }

    /// An epoch as a client gives it.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far a client has seen a chat: all changes up to a number, in the log of an epoch. On the wire a
/// bare number, or `{"seq":…,"epoch":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The last change that was seen.
    pub seq: Seq,
    /// The epoch that it counts in, where the client knows it.
    pub epoch: Option<Epoch>,
}

impl Since {
    /// A bare number.
    #[must_use]
    pub fn number(seq: Seq) -> Self {
        Self { seq, epoch: None }
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(SinceVisitor)
    }
}

/// The object form of `since`.
#[derive(Deserialize)]
struct Object {
    seq: Seq,
    epoch: Option<Epoch>,
}

struct SinceVisitor;

impl<'de> Visitor<'de> for SinceVisitor {
    type Value = Since;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from 0, or {\"seq\":…,\"epoch\":…}")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Since, E> {
        let number: U64Deserializer<E> = n.into_deserializer();
        Seq::deserialize(number).map(Since::number)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Since, E> {
        let number: I64Deserializer<E> = n.into_deserializer();
        Seq::deserialize(number).map(Since::number)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Since, A::Error> {
        let Object { seq, epoch } = Object::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Since { seq, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_number_or_an_object() {
        let read = |text: &str| serde_json::from_str::<Since>(text).ok();
        assert_eq!(read("0"), Some(Since::number(Seq(0))));
        assert_eq!(read("16"), Some(Since::number(Seq(16))));
        assert_eq!(read("{\"seq\":16}"), Some(Since::number(Seq(16))));
        let epoch = Some(Epoch::of("a"));
        let whole = Since {
            seq: Seq(16),
            epoch,
        };
        assert_eq!(read("{\"seq\":16,\"epoch\":\"a\",\"x\":1}"), Some(whole));
        for wrong in [
            "-1",
            "1.5",
            "\"16\"",
            "[16]",
            "true",
            "{}",
            "{\"epoch\":\"a\"}",
            "{\"seq\":-1}",
            "{\"seq\":1,\"epoch\":2}",
            "99999999999999999999",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_two_epochs_are_the_same() {
        assert_ne!(Epoch::random(), Epoch::random());
    }
}
