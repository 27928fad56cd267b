//! Row types of an export and import: one struct per table, with all exported columns under their API names.

use super::row::from_row;
use crate::model::{ChatId, MessageId, Seq, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A row of any table. In JSON it is an object with the field `kind`, which names the table.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Record {
    /// A user.
    User(UserRecord),
    /// A chat.
    Chat(ChatRecord),
    /// A membership.
    Member(MemberRecord),
    /// The latest change of a membership.
    MemberChange(MemberChangeRecord),
    /// A message.
    Message(MessageRecord),
    /// A session.
    Session(SessionRecord),
}

/// The table of a row. Tables are in import order: a table comes after all tables that its rows refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `customer`.
    User,
    /// `chat`.
    Chat,
    /// `customer_chat`.
    Member,
    /// `membership_change`.
    MemberChange,
    /// `message`.
    Message,
    /// `session`.
    Session,
}

/// A row of `customer`. Texts of all rows are exported as stored and not validated: an older database may
/// hold values that the API rejects today.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRecord {
    /// Id of the user.
    pub customer_id: UserId,
    /// Name of the user.
    pub username: String,
    /// Hash of the user's password. An import rejects passwords that are not hashed.
    pub password: String,
    /// Time of the sign-up, in microsecond precision like all times in an export.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
}

from_row!(UserRecord {
    customer_id,
    username,
    password,
    created_at
});

/// A row of `chat`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChatRecord {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Name of the chat.
    pub chat_name: String,
    /// Time the chat was created, in microsecond precision.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
    /// Head of the chat: the number of its latest change; 0 if the chat has no change.
    pub seq: Seq,
    /// Topic of the chat; null if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Data of a client, as a text of JSON; null if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Number of the latest change of the chat itself; null if it has never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_seq: Option<Seq>,
    /// User who made that change; null if it has never changed, and for an unnamed caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<UserId>,
}

from_row!(ChatRecord {
    chat_id,
    chat_name,
    created_at,
    seq,
    topic,
    data,
    changed_seq,
    changed_by
});

/// A row of `membership_change`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberChangeRecord {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Id of the user; the user and the membership may be gone.
    pub customer_id: UserId,
    /// Number of the latest change of the membership in the chat.
    pub seq: Seq,
    /// User who made the change; null for the server, and for an unnamed caller.
    pub changed_by: Option<UserId>,
    /// Time of the change, in microsecond precision.
    #[serde(with = "exact")]
    pub changed_at: Timestamp,
}

from_row!(MemberChangeRecord {
    chat_id,
    customer_id,
    seq,
    changed_by,
    changed_at
});

/// A row of `customer_chat`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberRecord {
    /// Id of the member.
    pub customer_id: UserId,
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Role of the member. A text, because the column of the original server takes any text.
    pub role: String,
    /// Time the member joined, in microsecond precision.
    #[serde(with = "exact")]
    pub joined_at: Timestamp,
    /// Message up to which the member marked the chat as read; null if the member never marked it.
    pub last_read_message_id: Option<MessageId>,
    /// Latest message of the chat when the member joined. Null if the chat had no message, and in rows and
    /// exports of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_message_id: Option<MessageId>,
}

from_row!(MemberRecord {
    customer_id,
    chat_id,
    role,
    joined_at,
    last_read_message_id,
    joined_message_id
});

/// A row of `message`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageRecord {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Id of the author; null if the author was deleted.
    pub customer_id: Option<UserId>,
    /// Text of the message; null if the message was deleted.
    pub content: Option<String>,
    /// Time the message was stored, in microsecond precision.
    #[serde(with = "exact")]
    pub sent_at: Timestamp,
    /// Number of the message's latest change in its chat.
    pub seq: Seq,
    /// Number of the change that sent the message.
    pub sent_seq: Seq,
    /// Time of the latest edit, in microsecond precision; null if the message was never edited.
    #[serde(default, with = "exact::optional")]
    pub edited_at: Option<Timestamp>,
    /// Time of the deletion, in microsecond precision; null if the message is not deleted.
    #[serde(default, with = "exact::optional")]
    pub deleted_at: Option<Timestamp>,
    /// User who deleted the message; null if the message is not deleted. If the deleting caller named no
    /// user, this is the author.
    pub deleted_by: Option<UserId>,
    /// Message that this message replies to; null if it is not a reply.
    pub reply_to: Option<MessageId>,
    /// Idempotency key that the sender chose; null if the sender chose none.
    pub client_message_id: Option<String>,
}

from_row!(MessageRecord {
    message_id,
    chat_id,
    customer_id,
    content,
    sent_at,
    seq,
    sent_seq,
    edited_at,
    deleted_at,
    deleted_by,
    reply_to,
    client_message_id
});

/// A row of `session`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRecord {
    /// Id of the session.
    pub session_id: SessionId,
    /// Id of the user.
    pub customer_id: UserId,
    /// SHA-256 of the session token; hexadecimal digits in JSON.
    #[serde(with = "hex::serde")]
    pub token_hash: Vec<u8>,
    /// Time of the login, in microsecond precision.
    #[serde(with = "exact")]
    pub created_at: Timestamp,
    /// Time of the latest recorded use, in microsecond precision.
    #[serde(with = "exact")]
    pub last_used_at: Timestamp,
    /// Time the session ends even if it is in use, in microsecond precision.
    #[serde(with = "exact")]
    pub expires_at: Timestamp,
    /// `User-Agent` that the client sent at login; null if it sent none.
    pub user_agent: Option<String>,
}

from_row!(SessionRecord {
    session_id,
    customer_id,
    token_hash,
    created_at,
    last_used_at,
    expires_at,
    user_agent
});

impl Record {
    /// Returns the table of the row.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Chat(_) => Kind::Chat,
            Self::Member(_) => Kind::Member,
            Self::MemberChange(_) => Kind::MemberChange,
            Self::Message(_) => Kind::Message,
            Self::Session(_) => Kind::Session,
        }
    }

    /// Returns the sort key of the row within its table: the primary key, or the id and 0 if the key has one
    /// column.
    #[must_use]
    pub fn key(&self) -> (i64, i64) {
        match self {
            Self::User(row) => (row.customer_id.0, 0),
            Self::Chat(row) => (row.chat_id.0, 0),
            Self::Member(row) => (row.customer_id.0, row.chat_id.0),
            Self::MemberChange(row) => (row.chat_id.0, row.customer_id.0),
            Self::Message(row) => (row.message_id.0, 0),
            Self::Session(row) => (row.session_id.0, 0),
        }
    }
}

impl Kind {
    /// Returns the next table in import order; null after the last table.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::User => Some(Self::Chat),
            Self::Chat => Some(Self::Member),
            Self::Member => Some(Self::MemberChange),
            Self::MemberChange => Some(Self::Message),
            Self::Message => Some(Self::Session),
            Self::Session => None,
        }
    }
}

/// Serializes times in microsecond precision, so that an import restores the stored value. The API itself
/// shows milliseconds.
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
