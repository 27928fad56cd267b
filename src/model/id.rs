//! Ids and sequence numbers as separate types, so that the compiler rejects a user's id as a chat's id.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// Parses a positive 64-bit integer from a path or a query. Only digits are accepted, without a sign or a
/// leading zero.
fn parse_positive(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

/// Visitor of a JSON integer that is at least the given minimum.
struct IntegerFrom(i64);

impl de::Visitor<'_> for IntegerFrom {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("an integer from 0"),
            _ => f.write_str("a positive integer"),
        }
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<i64, E> {
        match i64::try_from(n) {
            Ok(n) if n >= self.0 => Ok(n),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(n), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<i64, E> {
        match n {
            n if n >= self.0 => Ok(n),
            n => Err(E::invalid_value(de::Unexpected::Signed(n), &self)),
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, from $least:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
        #[schema(minimum = $least, maximum = 9_223_372_036_854_775_807_i64)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_i64(IntegerFrom($least)).map(Self)
            }
        }
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        number!($(#[$doc])* $name, from 1);

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                parse_positive(text).map(Self).ok_or(())
            }
        }
    };
}

id!(
    /// Id of a user (`customer_id` in the original API): positive, never reused.
    UserId
);
id!(
    /// Id of a chat: positive, never reused.
    ChatId
);
id!(
    /// Id of a message: positive, never reused. Within a chat, ids increase in commit order.
    MessageId
);
id!(
    /// Id of a user's session: positive, never reused. The id is not secret; the session's token is.
    SessionId
);
number!(
    /// Number of a change within its chat: 1, 2, 3 … in commit order, without gaps. 0 is the position before
    /// the first change.
    Seq, from 0
);

impl Seq {
    /// Returns the number of the next change. Saturates at the maximum, which no chat reaches.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for Seq {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "0" => Ok(Self(0)),
            _ => parse_positive(text).map(Self).ok_or(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_integer_in_digits() {
        assert_eq!("7".parse(), Ok(UserId(7)));
        assert_eq!("9223372036854775807".parse(), Ok(ChatId(i64::MAX)));
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e3",
            " 1",
            "x",
            "9223372036854775808",
        ] {
            assert_eq!(wrong.parse::<UserId>(), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn json_ids_are_positive_integers() {
        assert_eq!(serde_json::from_str::<ChatId>("3").ok(), Some(ChatId(3)));
        for wrong in [
            "0",
            "-3",
            "1.5",
            "\"3\"",
            "null",
            "9223372036854775808",
            "[1]",
        ] {
            assert!(serde_json::from_str::<ChatId>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_seq_may_be_zero() {
        assert_eq!("0".parse(), Ok(Seq(0)));
        assert_eq!(serde_json::from_str::<Seq>("0").ok(), Some(Seq(0)));
        assert!("-1".parse::<Seq>().is_err());
    }
}
