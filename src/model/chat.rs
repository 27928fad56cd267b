//! Chats, their members, and a chat as an entry of a member's list.

use super::{
    data::Data,
    id::{ChatId, MessageId, UserId},
    message::Message,
    text::{ChatName, Topic},
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
    /// Topic of the chat; omitted if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub topic: Option<String>,
    /// Data of the client's own; omitted if the chat has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub data: Option<Data>,
}

impl Chat {
    /// Returns the size of the texts, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let topic = self.topic.as_ref().map_or(0, String::len);
        let data = self.data.as_ref().map_or(0, |data| data.as_str().len());
        self.chat_name.len() + topic + data
    }
}

/// Chat to create.
#[derive(Clone, Debug)]
pub struct NewChat {
    /// Name.
    pub name: ChatName,
    /// Topic; None if it has none.
    pub topic: Option<Topic>,
    /// Data of the client's own; None if it has none.
    pub data: Option<Data>,
}

/// Change of a chat. A value that is None stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ChatUpdate {
    /// New name.
    pub name: Option<ChatName>,
    /// New topic; the inner None removes it.
    pub topic: Option<Option<Topic>>,
    /// New data; the inner None removes them.
    pub data: Option<Option<Data>>,
}

impl ChatUpdate {
    /// Changes the chat. Returns false if it is already so.
    #[must_use]
    pub fn apply(&self, chat: &mut Chat) -> bool {
        let before = (
            chat.chat_name.clone(),
            chat.topic.clone(),
            chat.data.clone(),
        );
        if let Some(name) = &self.name {
            chat.chat_name = name.as_str().to_owned();
        }
        if let Some(topic) = &self.topic {
            chat.topic = topic.as_ref().map(|topic| topic.as_str().to_owned());
        }
        if let Some(data) = &self.data {
            chat.data.clone_from(data);
        }
        before
            != (
                chat.chat_name.clone(),
                chat.topic.clone(),
                chat.data.clone(),
            )
    }
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
        size_of::<Self>() + self.chat.size() + message
    }
}

/// Access of a user to a chat.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// True if the user is a member of the chat; false if not, or if the user or the chat does not exist.
    pub has_access: bool,
}
