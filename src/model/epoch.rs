//! Epoch of the log and a client's position in it, from which missed messages are replayed.

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

/// Identity of the log that `seq` counts in. The epoch changes after an import or a restore, because `seq`
/// values may then stand for other changes. Clients only compare epochs for equality.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Epoch(String);

impl Epoch {
    /// Returns a new unique epoch.
    #[must_use]
    pub fn random() -> Self {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::keeps_epoch() {
            return Self("0".repeat(32));
        }
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Returns an epoch with the text that a client sent, unchecked.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text of the epoch.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Position of a client in a chat: the client has all changes up to `seq` in the log of an epoch. The JSON
/// form is a bare number or `{"seq":…,"epoch":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// Number of the last change that the client has; 0 if the client has none.
    pub seq: Seq,
    /// Epoch of the log that `seq` counts in; None if the client sent no epoch.
    pub epoch: Option<Epoch>,
}

impl Since {
    /// Returns a position without an epoch.
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

/// Object form of [`Since`] in JSON.
#[derive(Deserialize)]
struct SinceObject {
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
        let SinceObject { seq, epoch } = SinceObject::deserialize(MapAccessDeserializer::new(map))?;
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
    fn random_epochs_differ() {
        assert_ne!(Epoch::random(), Epoch::random());
    }
}
