//! A chat.

use super::{
    id::{ChatId, MessageId, UserId},
    message::Message,
    timestamp::Timestamp,
    user::User,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

/// A chat, without its members and messages.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// The chat's id.
    pub chat_id: ChatId,
    /// The chat's name; several chats may share one.
    pub chat_name: String,
    /// When the chat was made.
    pub created_at: Timestamp,
}

/// What a member may do: an admin also renames, deletes and decides who belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the chat.
    Admin,
    /// Takes part.
    Participant,
}

impl Role {
    /// As the database keeps it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Participant => "participant",
        }
    }
}

/// By hand: serde's own takes an object for a role, and a number for no JSON at all.
impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        [Self::Admin, Self::Participant]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| de::Error::unknown_variant(&text, &["admin", "participant"]))
    }
}

/// The original's column takes any text: what is not an admin takes part.
impl From<String> for Role {
    fn from(text: String) -> Self {
        match text.as_str() {
            "admin" => Self::Admin,
            _ => Self::Participant,
        }
    }
}

/// That a user belongs to a chat.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub customer_id: UserId,
    /// Where.
    pub chat_id: ChatId,
    /// As what.
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A user as a member of a chat.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatMember {
    /// The user.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub user: User,
    /// As what they belong to the chat.
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A chat as one of its members sees it in their list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserChat {
    /// The chat.
    #[serde(flatten)]
    pub chat: Chat,
    /// As what they belong to it.
    pub role: Role,
    /// What was sent last; null in a chat without messages.
    #[schema(required)]
    pub last_message: Option<Message>,
    /// Messages of others after the one read last, and after the user joined, that are not deleted,
    /// counted up to 1,000.
    pub unread: i64,
    /// The message read last: the one marked, or their own latest where that came after; null
    /// where there is neither.
    #[schema(required)]
    pub last_read_message_id: Option<MessageId>,
}

/// Whether a user may use a chat.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// True for a member; false for everyone else and for what does not exist.
    pub has_access: bool,
}
