//! A row of each table, with all of its columns, in the words of the API.

use crate::model::{ChatId, MessageId, Seq, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// One row, as a JSON object whose `kind` names the table.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Record {
    /// A user.
    User(UserRecord),
    /// A chat.
    Chat(ChatRecord),
    /// A membership.
    Member(MemberRecord),
    /// A message.
    Message(MessageRecord),
    /// A session.
    Session(SessionRecord),
}

/// Which table a row is of. A table stands after those that its rows refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `customer`.
    User,
    /// `chat`.
    Chat,
    /// `customer_chat`.
    Member,
    /// `message`.
    Message,
    /// `session`.
    Session,
}

/// A row of `customer`. Names and texts are as they are stored: an older database may hold what
/// would be refused today.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRecord {
    /// Who.
    pub customer_id: UserId,
    /// By which name.
    pub username: String,
    /// The hash of their password.
    pub password: String,
    /// Since when; like all times here to the microsecond, as it is stored.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
}

/// A row of `chat`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChatRecord {
    /// Which.
    pub chat_id: ChatId,
    /// Its name.
    pub chat_name: String,
    /// Since when.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
    /// The number of its latest change.
    pub seq: Seq,
}

/// A row of `customer_chat`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberRecord {
    /// Who.
    pub customer_id: UserId,
    /// Where.
    pub chat_id: ChatId,
    /// As what; the original's column takes any text.
    pub role: String,
    /// Since when.
    #[serde(with = "exact")]
    pub joined_at: Timestamp,
    /// The message read last.
    pub last_read_message_id: Option<MessageId>,
    /// The message sent last when the member joined. None in exports and rows of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_message_id: Option<MessageId>,
}

/// A row of `message`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageRecord {
    /// Which.
    pub message_id: MessageId,
    /// Where.
    pub chat_id: ChatId,
    /// Whose; none once the author was deleted.
    pub customer_id: Option<UserId>,
    /// The text; none once deleted.
    pub content: Option<String>,
    /// Since when.
    #[serde(with = "exact")]
    pub sent_at: Timestamp,
    /// The number of its latest change.
    pub seq: Seq,
    /// The number of its sending.
    pub sent_seq: Seq,
    /// When it was last edited.
    #[serde(default, with = "exact::optional")]
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    #[serde(default, with = "exact::optional")]
    pub deleted_at: Option<Timestamp>,
    /// By whom.
    pub deleted_by: Option<UserId>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// The name its sender gave it.
    pub client_message_id: Option<String>,
}

/// A row of `session`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRecord {
    /// Which.
    pub session_id: SessionId,
    /// Whose.
    pub customer_id: UserId,
    /// The token's SHA-256, in hexadecimal digits.
    #[serde(with = "hex")]
    pub token_hash: Vec<u8>,
    /// Since when.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(with = "exact")]
    pub last_used_at: Timestamp,
    /// Until when.
    #[serde(with = "exact")]
    pub expires_at: Timestamp,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

impl Record {
    /// Which table it is of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Chat(_) => Kind::Chat,
            Self::Member(_) => Kind::Member,
            Self::Message(_) => Kind::Message,
            Self::Session(_) => Kind::Session,
        }
    }

    /// By what the rows of its table are sorted: its key, or that and 0.
    #[must_use]
    pub fn key(&self) -> (i64, i64) {
        match self {
            Self::User(row) => (row.customer_id.0, 0),
            Self::Chat(row) => (row.chat_id.0, 0),
            Self::Member(row) => (row.customer_id.0, row.chat_id.0),
            Self::Message(row) => (row.message_id.0, 0),
            Self::Session(row) => (row.session_id.0, 0),
        }
    }
}

impl Kind {
    /// The table after this one.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::User => Some(Self::Chat),
            Self::Chat => Some(Self::Member),
            Self::Member => Some(Self::Message),
            Self::Message => Some(Self::Session),
            Self::Session => None,
        }
    }
}

/// Times to the microsecond: the API shows them to the millisecond.
mod exact {
    use crate::model::Timestamp;
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        time.get().serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        DateTime::<Utc>::deserialize(input).map(Timestamp::of)
    }

    pub(super) mod optional {
        use super::{DateTime, Deserialize, Deserializer, Serialize, Serializer, Utc};
        use crate::model::Timestamp;

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            out: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(Timestamp::get).serialize(out)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            input: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let time = Option::<DateTime<Utc>>::deserialize(input)?;
            Ok(time.map(Timestamp::of))
        }
    }
}

/// Bytes as hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Write;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // A string takes whatever is written to it.
            let _ = write!(text, "{byte:02x}");
        }
        out.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(input)?;
        let digit = |c: &u8| {
            char::from(*c)
                .to_digit(16)
                .and_then(|n| u8::try_from(n).ok())
        };
        let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
        digits
            .filter(|digits| digits.len() % 2 == 0)
            .map(|digits| {
                digits
                    .chunks(2)
                    .map(|pair| pair[0] << 4 | pair[1])
                    .collect()
            })
            .ok_or_else(|| de::Error::custom("expected pairs of hexadecimal digits"))
    }
}
