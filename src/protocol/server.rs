//! Frames that the server sends by itself: changes, replays, ephemeral events, notices and heartbeats.

use super::frame::{Envelope, Frame};
use crate::model::{ChatChange, ChatId, LogEntry, MemberChange, Message, MessageId, Seq, UserId};
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The kind of change of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The message was sent.
    Sent,
    /// The message was edited.
    Edited,
    /// The message was deleted.
    Deleted,
}

/// A change in a list of changes: the frame that a replay would send, without `replay`.
#[derive(Debug)]
pub struct ListedChange {
    /// The thing that changed.
    pub entry: LogEntry,
    /// The change after which the list begins.
    pub since: Seq,
}

impl Serialize for ListedChange {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let frame = Frame::listed(&self.entry, self.since);
        let json: &RawValue = serde_json::from_slice(frame.text()).map_err(ser::Error::custom)?;
        json.serialize(output)
    }
}

/// A user with a connection to a chat. One entry of a chat's presence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    /// The id of the user.
    pub customer_id: UserId,
    /// The display name that `join` and `leave` carry.
    pub username: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedUser<'a> {
    customer_id: UserId,
    username: &'a str,
}

impl Frame {
    /// Builds the broadcast about a changed message, for every subscriber of the chat.
    #[must_use]
    pub fn changed(change: ChangeKind, message: &Message) -> Self {
        Self::change(change, message, false)
    }

    /// Builds the broadcast about a changed membership.
    #[must_use]
    pub fn member_changed(change: &MemberChange) -> Self {
        Self::member(change, false)
    }

    /// Builds the broadcast about a changed chat.
    #[must_use]
    pub fn chat_changed(change: &ChatChange) -> Self {
        Self::chat(change, false)
    }

    /// Builds the replay of a thing in its current state, for a client that has seen the changes up to `since`.
    #[must_use]
    pub fn replayed(entry: &LogEntry, since: Seq) -> Self {
        Self::entry(entry, since, true)
    }

    /// Builds the frame that a replay would have, without `replay`.
    #[must_use]
    pub fn listed(entry: &LogEntry, since: Seq) -> Self {
        Self::entry(entry, since, false)
    }

    fn entry(entry: &LogEntry, since: Seq, replay: bool) -> Self {
        let message = match entry {
            LogEntry::Message(message) => message,
            LogEntry::Member(change) => return Self::member(change, replay),
            LogEntry::Chat(change) => return Self::chat(change, replay),
        };
        let change = match message {
            m if m.deleted_at.is_some() => ChangeKind::Deleted,
            m if m.sent_seq > since => ChangeKind::Sent,
            _ => ChangeKind::Edited,
        };
        Self::change(change, message, replay)
    }

    fn change(change: ChangeKind, message: &Message, replay: bool) -> Self {
        let position = (message.chat_id, message.seq);
        // Only the author edits a message.
        let whole = |kind| Envelope {
            replay,
            ..Envelope::change(kind, message, position, message.customer_id)
        };
        match change {
            ChangeKind::Sent => whole("send-message").frame(),
            ChangeKind::Edited => whole("update-message").frame(),
            ChangeKind::Deleted => Envelope {
                replay,
                ..Envelope::change(
                    "delete-message",
                    message.message_id,
                    position,
                    message.deleted_by,
                )
            }
            .frame(),
        }
    }

    fn member(change: &MemberChange, replay: bool) -> Self {
        let position = (change.chat_id, change.seq);
        Envelope {
            replay,
            ..Envelope::change("update-member", &change.member, position, change.changed_by)
        }
        .frame()
    }

    fn chat(change: &ChatChange, replay: bool) -> Self {
        let position = (change.chat.chat_id, change.seq);
        Envelope {
            replay,
            ..Envelope::change("update-chat", &change.chat, position, change.changed_by)
        }
        .frame()
    }

    /// Builds the broadcast about a message that became a tombstone because its author was deleted.
    #[must_use]
    pub fn tombstoned(chat: ChatId, message: MessageId, seq: Seq, user: UserId) -> Self {
        Envelope::change("delete-message", message, (chat, seq), Some(user)).frame()
    }

    /// Builds the broadcast that a user joined the chat.
    #[must_use]
    pub fn join(chat: ChatId, who: &Online) -> Self {
        Self::presence("join", chat, who)
    }

    /// Builds the broadcast that a user left the chat.
    #[must_use]
    pub fn leave(chat: ChatId, who: &Online) -> Self {
        Self::presence("leave", chat, who)
    }

    /// Builds the broadcast that a user is typing.
    #[must_use]
    pub fn typing(chat: ChatId, who: &Online) -> Self {
        Self::presence("start-typing", chat, who)
    }

    fn presence(kind: &'static str, chat: ChatId, who: &Online) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(Some(who.customer_id)),
            ..Envelope::new(kind, &who.username)
        }
        .frame()
    }

    /// Builds the broadcast that a user has another name.
    #[must_use]
    pub fn user_renamed(user: UserId, username: &str) -> Self {
        let content = NamedUser {
            customer_id: user,
            username,
        };
        Envelope::new("update-user", content).frame()
    }

    /// Builds the broadcast that a user has read up to a message.
    #[must_use]
    pub fn read(chat: ChatId, user: UserId, message: MessageId) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(Some(user)),
            ..Envelope::new("read", message)
        }
        .frame()
    }

    /// Builds the notice that the chat was deleted.
    #[must_use]
    pub fn chat_deleted(chat: ChatId) -> Self {
        Envelope::new("delete-chat", chat).frame()
    }

    /// Builds the notice that the receiver is no longer a member of the chat.
    #[must_use]
    pub fn removed(chat: ChatId) -> Self {
        Envelope::new("leave-chat", chat).frame()
    }

    /// Builds a heartbeat: the head (the seq of the latest change) of each chat that the receiver
    /// is connected to.
    #[must_use]
    pub fn heartbeat(heads: &BTreeMap<ChatId, Seq>) -> Self {
        Envelope::new("heartbeat", heads).frame()
    }
}
