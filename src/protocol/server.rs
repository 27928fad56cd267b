//! What a client gets.

use super::client::RequestId;
use crate::{
    error::Error,
    model::{ChatId, Epoch, Message, MessageId, Seq, UserId},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A text frame, serialized once; cloning shares its bytes.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was sent.
    Sent,
    /// It was edited.
    Edited,
    /// It was deleted.
    Deleted,
}

/// Somebody who is connected to a chat.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    /// Who.
    pub customer_id: UserId,
    /// The name that `join` and `leave` carry.
    pub username: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    content: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<ChatId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
}

impl<'a, T: Serialize> Envelope<'a, T> {
    fn new(kind: &'static str, content: T) -> Self {
        Self {
            kind,
            id: None,
            content,
            chat_id: None,
            customer_id: None,
            seq: None,
            replay: false,
        }
    }

    fn answering(id: Option<&'a RequestId>, kind: &'static str, content: T) -> Self {
        Self {
            id: id.map(|id| &**id),
            ..Self::new(kind, content)
        }
    }

    fn frame(&self) -> Frame {
        // Strings, numbers and maps with string keys: JSON can hold all of it.
        Frame(serde_json::to_vec(self).unwrap_or_default().into())
    }
}

#[derive(Serialize)]
struct SendAck<'a> {
    #[serde(flatten)]
    message: &'a Message,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteAck {
    message_id: MessageId,
    chat_id: ChatId,
    seq: Seq,
}

/// How a socket is connected to a chat.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected<'a> {
    /// Which chat.
    pub chat_id: ChatId,
    /// The change from which on frames are live.
    pub seq: Seq,
    /// The epoch of the log that `seq` counts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<&'a Epoch>,
    /// Everyone in the chat.
    pub online: &'a [Online],
    /// Whether what came before must be paged by REST.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatAck {
    chat_id: ChatId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    error: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Frame {
    /// The type of every frame that is sent.
    pub const KINDS: [&str; 12] = [
        "ack",
        "error",
        "join",
        "leave",
        "send-message",
        "update-message",
        "delete-message",
        "delete-chat",
        "leave-chat",
        "heartbeat",
        "start-typing",
        "read",
    ];

    /// A frame that another server has serialized.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The frame's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The frame's bytes: JSON, so UTF-8.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A change of a message, as everyone in the chat gets it.
    #[must_use]
    pub fn changed(change: ChangeKind, message: &Message) -> Self {
        Self::change(change, message, false)
    }

    /// A message in its present state, for somebody who has seen the changes up to `since`.
    #[must_use]
    pub fn replayed(message: &Message, since: Seq) -> Self {
        let change = match message {
            m if m.deleted_at.is_some() => ChangeKind::Deleted,
            m if m.sent_seq > since => ChangeKind::Sent,
            _ => ChangeKind::Edited,
        };
        Self::change(change, message, true)
    }

    fn change(change: ChangeKind, message: &Message, replay: bool) -> Self {
        match change {
            ChangeKind::Sent => Envelope {
                replay,
                ..Envelope::new("send-message", message)
            }
            .frame(),
            ChangeKind::Edited => Envelope {
                replay,
                ..Envelope::new("update-message", message)
            }
            .frame(),
            ChangeKind::Deleted => Envelope {
                chat_id: Some(message.chat_id),
                customer_id: message.deleted_by,
                seq: Some(message.seq),
                replay,
                ..Envelope::new("delete-message", message.message_id)
            }
            .frame(),
        }
    }

    /// A message of a user who was deleted became a tombstone.
    #[must_use]
    pub fn buried(chat: ChatId, message: MessageId, seq: Seq, user: UserId) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(user),
            seq: Some(seq),
            ..Envelope::new("delete-message", message)
        }
        .frame()
    }

    /// Somebody came to the chat.
    #[must_use]
    pub fn join(chat: ChatId, who: &Online) -> Self {
        Self::presence("join", chat, who)
    }

    /// Somebody left the chat.
    #[must_use]
    pub fn leave(chat: ChatId, who: &Online) -> Self {
        Self::presence("leave", chat, who)
    }

    fn presence(kind: &'static str, chat: ChatId, who: &Online) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(who.customer_id),
            ..Envelope::new(kind, &who.username)
        }
        .frame()
    }

    /// The chat was deleted.
    #[must_use]
    pub fn chat_deleted(chat: ChatId) -> Self {
        Envelope::new("delete-chat", chat).frame()
    }

    /// The receiver does not belong to the chat any more.
    #[must_use]
    pub fn removed(chat: ChatId) -> Self {
        Envelope::new("leave-chat", chat).frame()
    }

    /// The heads of the receiver's chats.
    #[must_use]
    pub fn heartbeat(heads: &BTreeMap<ChatId, Seq>) -> Self {
        Envelope::new("heartbeat", heads).frame()
    }

    /// The socket is connected.
    #[must_use]
    pub fn connected(id: &RequestId, how: &Connected<'_>) -> Self {
        Envelope::answering(Some(id), "ack", how).frame()
    }

    /// The message is stored.
    #[must_use]
    pub fn sent(id: &RequestId, message: &Message, duplicate: bool) -> Self {
        Envelope::answering(Some(id), "ack", SendAck { message, duplicate }).frame()
    }

    /// The message is edited.
    #[must_use]
    pub fn edited(id: &RequestId, message: &Message) -> Self {
        Envelope::answering(Some(id), "ack", message).frame()
    }

    /// The message is deleted.
    #[must_use]
    pub fn deleted(id: &RequestId, message: &Message) -> Self {
        let Message {
            message_id,
            chat_id,
            seq,
            ..
        } = *message;
        Envelope::answering(
            Some(id),
            "ack",
            DeleteAck {
                message_id,
                chat_id,
                seq,
            },
        )
        .frame()
    }

    /// The socket has left the chat.
    #[must_use]
    pub fn left(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// What was asked was not done.
    #[must_use]
    pub fn error(id: Option<&RequestId>, error: &Error) -> Self {
        let content = Failure {
            error: error.message(),
            code: error.code().as_str(),
            retry_after_ms: error.retry_after_ms(),
        };
        Envelope::answering(id, "error", content).frame()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadAck {
    chat_id: ChatId,
    message_id: MessageId,
}

impl Frame {
    /// Somebody is typing.
    #[must_use]
    pub fn typing(chat: ChatId, who: &Online) -> Self {
        Self::presence("start-typing", chat, who)
    }

    /// A `start-typing` was taken note of; whether the chat was told of it, or had been a moment
    /// before, makes no difference to the sender.
    #[must_use]
    pub fn typed(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// Somebody has read up to this message.
    #[must_use]
    pub fn read(chat: ChatId, user: UserId, message: MessageId) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(user),
            ..Envelope::new("read", message)
        }
        .frame()
    }

    /// How far the sender has read, after their `mark-read`.
    #[must_use]
    pub fn marked(id: &RequestId, chat: ChatId, position: MessageId) -> Self {
        let content = ReadAck {
            chat_id: chat,
            message_id: position,
        };
        Envelope::answering(Some(id), "ack", content).frame()
    }
}
