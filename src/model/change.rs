//! The log of a chat: its messages, its memberships and the chat itself, each with the number of its latest change.

use super::{
    chat::{Chat, Role},
    id::{ChatId, MessageId, Seq, UserId},
    message::Message,
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A membership in its present state, as its changes are reported.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberState {
    /// Id of the user.
    pub customer_id: UserId,
    /// Name of the user; null if the user was deleted.
    #[schema(required)]
    pub username: Option<String>,
    /// Role of the user in the chat; null if the user is no member any more.
    #[schema(required)]
    pub role: Option<Role>,
    /// Time at which the user joined the chat; null if the user is no member any more.
    #[schema(required)]
    pub joined_at: Option<Timestamp>,
}

/// The latest change of a membership.
#[derive(Clone, Debug)]
pub struct MemberChange {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Number of the change in the chat.
    pub seq: Seq,
    /// Id of the user who made the change; None for a change by the server, or by an unnamed caller in open mode.
    pub changed_by: Option<UserId>,
    /// The membership after the change.
    pub member: MemberState,
}

/// The latest change of a chat itself: of its name, its topic or its data.
#[derive(Clone, Debug)]
pub struct ChatChange {
    /// Number of the change in the chat.
    pub seq: Seq,
    /// Id of the user who made the change; None for an unnamed caller in open mode.
    pub changed_by: Option<UserId>,
    /// The chat after the change.
    pub chat: Chat,
}

/// A thing in the log of a chat, in its present state.
#[derive(Clone, Debug)]
pub enum LogEntry {
    /// A message.
    Message(Box<Message>),
    /// A membership.
    Member(MemberChange),
    /// The chat itself.
    Chat(ChatChange),
}

/// The identity of a thing within the log of its chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryId {
    /// The message with this id.
    Message(MessageId),
    /// The membership of this user.
    Member(UserId),
    /// The chat itself.
    Chat,
}

impl LogEntry {
    /// Returns the number of the latest change.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Member(change) => change.seq,
            Self::Chat(change) => change.seq,
        }
    }

    /// Returns the identity of the thing.
    #[must_use]
    pub fn id(&self) -> EntryId {
        match self {
            Self::Message(message) => EntryId::Message(message.message_id),
            Self::Member(change) => EntryId::Member(change.member.customer_id),
            Self::Chat(_) => EntryId::Chat,
        }
    }

    /// Returns true if the thing is a message that was sent after the change `since`. Its first report is `send-message`.
    #[must_use]
    pub fn is_new_since(&self, since: Seq) -> bool {
        matches!(self, Self::Message(message) if message.sent_seq > since)
    }

    /// Returns the size of the texts, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::Member(change) => change.member.username.as_ref().map_or(0, String::len),
            Self::Chat(change) => change.chat.size(),
        }
    }

    /// Returns the memory of the entry, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Message(message) => size_of::<Self>() + message.memory(),
            Self::Member(_) | Self::Chat(_) => size_of::<Self>() + self.size(),
        }
    }
}
