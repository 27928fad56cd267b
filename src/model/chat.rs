//! Chats, their members, and a chat as an entry of a member's list.

use super::{
    id::{ChatId, MessageId, UserId},
    message::Message,
    timestamp::Timestamp,
    user::User,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

/// Chat without its members and messages.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Name of the chat. Names are not unique.
    pub chat_name: String,
    /// Time at which the chat was created.
    pub created_at: Timestamp,
}

/// Role of a member in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May also rename and delete the chat, and manage its members and their roles.
    Admin,
    /// May read and write in the chat.
    Participant,
}

impl Role {
    /// Returns the text of the role in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Participant => "participant",
        }
    }
}

/// Written by hand: serde's derived code accepts an object as a role, and reports a number as malformed JSON.
impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        [Self::Admin, Self::Participant]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| de::Error::unknown_variant(&text, &["admin", "participant"]))
    }
}

/// Any text other than `admin` is a participant, because the role column of the original API holds any text.
impl From<String> for Role {
    fn from(text: String) -> Self {
        match text.as_str() {
            "admin" => Self::Admin,
            _ => Self::Participant,
        }
    }
}

/// Membership of a user in a chat.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Id of the user.
    pub customer_id: UserId,
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Role of the user in the chat.
    pub role: Role,
    /// Time at which the user joined the chat.
    pub joined_at: Timestamp,
}

/// Member of a chat, with the user's own fields.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatMember {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// Role of the user in the chat.
    pub role: Role,
    /// Time at which the user joined the chat.
    pub joined_at: Timestamp,
}

/// Entry of a member's list of chats.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserChat {
    /// The chat.
    #[serde(flatten)]
    pub chat: Chat,
    /// Role of the member in the chat.
    pub role: Role,
    /// Message that was sent last; null if the chat has no messages.
    #[schema(required)]
    pub last_message: Option<Message>,
    /// Number of unread messages, from 0 to 1,000; 1,000 means 1,000 or more. Counts messages of other users
    /// that are not deleted and were sent after the last read message and after the member joined.
    pub unread: i64,
    /// Id of the last read message: the message that the member marked as read, or the member's own latest
    /// message if it is later; null if neither exists.
    #[schema(required)]
    pub last_read_message_id: Option<MessageId>,
}

impl UserChat {
    /// Returns the memory of the entry, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let message = self.last_message.as_ref().map_or(0, Message::memory);
        size_of::<Self>() + self.chat.chat_name.len() + message
    }
}

/// Access of a user to a chat.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// True if the user is a member of the chat; false if not, or if the user or the chat does not exist.
    pub has_access: bool,
}
