//! Frames from the server: constructors for every type of frame that a client receives.

use super::client::RequestId;
use crate::{
    error::Error,
    model::{ChatChange, ChatId, Epoch, LogEntry, MemberChange, Message, MessageId, Seq, UserId},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, str};

/// The first byte of a WebSocket frame that is a whole text message (RFC 6455, section 5.2).
const WHOLE_TEXT: u8 = 0x81;
/// The longest header of an unmasked WebSocket frame, in bytes.
const MAX_HEADER: usize = 10;

/// A text frame, serialized once and encoded as an unmasked WebSocket frame. A clone shares its bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The header and the text.
    encoded: Bytes,
    /// The length of the header: 2, 4 or 10 bytes.
    header: u8,
    /// True if the type of the frame is one of the original API's.
    original: bool,
}

/// The frames that a socket understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The types of the original API alone: the socket has sent neither an `id` nor a `since` with a `connect-chat`.
    #[default]
    Original,
    /// All types.
    All,
}

impl Audience {
    /// True if the socket is sent this frame.
    #[must_use]
    pub fn takes(self, frame: &Frame) -> bool {
        self == Self::All || frame.original
    }
}

/// The types of the original API.
const ORIGINAL: [&str; 8] = [
    "send-message",
    "update-message",
    "delete-message",
    "join",
    "leave",
    "delete-chat",
    "leave-chat",
    "error",
];

/// Returns the type of a frame, which every server writes first.
fn kind_of(text: &[u8]) -> Option<&str> {
    let rest = text.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    str::from_utf8(&rest[..end]).ok()
}

/// Encoded frames, one after the other in one buffer.
#[derive(Clone, Debug)]
pub struct EncodedFrames {
    /// The frames, as they are written to a socket.
    pub bytes: Bytes,
    /// The bytes of their texts, without headers.
    pub text: usize,
}

/// The header of an unmasked text frame of this length, and the length of the header.
fn header(length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = WHOLE_TEXT;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => {
            header[1] = length;
            (header, 2)
        }
        (_, Ok(length)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            (header, MAX_HEADER)
        }
    }
}

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
struct Envelope<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    content: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<ChatId>,
    /// The inner None is null: the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<Option<UserId>>,
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

    /// The report of a change: the change `seq` of `chat`, made by `by`.
    fn change(
        kind: &'static str,
        content: T,
        (chat, seq): (ChatId, Seq),
        by: Option<UserId>,
    ) -> Self {
        Self {
            chat_id: Some(chat),
            customer_id: Some(by),
            seq: Some(seq),
            ..Self::new(kind, content)
        }
    }

    fn answering(id: Option<&'a RequestId>, kind: &'static str, content: T) -> Self {
        Self {
            id: id.map(|id| &**id),
            ..Self::new(kind, content)
        }
    }

    fn frame(&self) -> Frame {
        // Room for the header, which is known once the text is.
        let mut bytes = Vec::with_capacity(256);
        bytes.resize(MAX_HEADER, 0);
        // Serialization cannot fail: the content is strings, numbers and maps with string keys.
        let _ = serde_json::to_writer(&mut bytes, self);
        let (header, size) = header(bytes.len() - MAX_HEADER);
        let start = MAX_HEADER - size;
        bytes[start..MAX_HEADER].copy_from_slice(&header[..size]);
        Frame {
            encoded: Bytes::from(bytes).slice(start..),
            header: size as u8,
            original: ORIGINAL.contains(&self.kind),
        }
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

/// The content of the `ack` for `connect-chat`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectAck<'a> {
    /// The id of the chat.
    pub chat_id: ChatId,
    /// The last seq before the live frames. Every later change is sent as it happens.
    pub seq: Seq,
    /// The epoch of the log that `seq` belongs to. Omitted if the log has no epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<&'a Epoch>,
    /// Every user with a connection to the chat.
    pub online: &'a [Online],
    /// True if the replay does not cover everything: the client must read the older changes with
    /// REST.
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
struct ErrorContent<'a> {
    error: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Frame {
    /// Every frame type that the server sends.
    pub const KINDS: [&str; 15] = [
        "ack",
        "error",
        "join",
        "leave",
        "send-message",
        "update-message",
        "delete-message",
        "update-member",
        "update-chat",
        "delete-chat",
        "leave-chat",
        "heartbeat",
        "start-typing",
        "read",
        "update-user",
    ];

    /// Encodes a text that another node has serialized.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        let (header, size) = header(text.len());
        let mut bytes = Vec::with_capacity(size + text.len());
        bytes.extend_from_slice(&header[..size]);
        bytes.extend_from_slice(text);
        Self {
            encoded: bytes.into(),
            header: size as u8,
            original: kind_of(text).is_some_and(|kind| ORIGINAL.contains(&kind)),
        }
    }

    /// The text of the frame: JSON.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.encoded[usize::from(self.header)..]
    }

    /// The header and the text, as they are written to a socket.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The frame in a buffer that holds a copy of it.
    pub(crate) fn moved_to(&self, encoded: Bytes) -> Self {
        Self {
            encoded,
            header: self.header,
            original: self.original,
        }
    }

    /// True if the type of the frame is one of the original API's.
    #[must_use]
    pub fn is_original(&self) -> bool {
        self.original
    }

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

    fn presence(kind: &'static str, chat: ChatId, who: &Online) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(Some(who.customer_id)),
            ..Envelope::new(kind, &who.username)
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

    /// Builds the ack of `connect-chat`.
    #[must_use]
    pub fn connected(id: &RequestId, ack: &ConnectAck<'_>) -> Self {
        Envelope::answering(Some(id), "ack", ack).frame()
    }

    /// Builds the ack of `send-message`. `duplicate` is true if the idempotency key was already
    /// used.
    #[must_use]
    pub fn sent(id: &RequestId, message: &Message, duplicate: bool) -> Self {
        Envelope::answering(Some(id), "ack", SendAck { message, duplicate }).frame()
    }

    /// Builds the ack of `update-message`.
    #[must_use]
    pub fn edited(id: &RequestId, message: &Message) -> Self {
        Envelope::answering(Some(id), "ack", message).frame()
    }

    /// Builds the ack of `delete-message`.
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

    /// Builds the ack of `leave-chat`.
    #[must_use]
    pub fn left(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// Builds the error frame of a refused request. `id` is `None` if the request had no id.
    #[must_use]
    pub fn error(id: Option<&RequestId>, error: &Error) -> Self {
        let content = ErrorContent {
            error: error.message(),
            code: error.code().as_str(),
            retry_after_ms: error.retry_after_ms(),
        };
        Envelope::answering(id, "error", content).frame()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedUser<'a> {
    customer_id: UserId,
    username: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadAck {
    chat_id: ChatId,
    message_id: MessageId,
}

impl Frame {
    /// Builds the broadcast that a user is typing.
    #[must_use]
    pub fn typing(chat: ChatId, who: &Online) -> Self {
        Self::presence("start-typing", chat, who)
    }

    /// Builds the ack of `start-typing`. The ack is sent even if the broadcast was suppressed
    /// because the user's previous one is recent.
    #[must_use]
    pub fn typed(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
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

    /// Builds the broadcast that a user has another name.
    #[must_use]
    pub fn user_renamed(user: UserId, username: &str) -> Self {
        let content = NamedUser {
            customer_id: user,
            username,
        };
        Envelope::new("update-user", content).frame()
    }

    /// Builds the ack of `mark-read`. `position` is the stored read position, which never moves
    /// back.
    #[must_use]
    pub fn marked(id: &RequestId, chat: ChatId, position: MessageId) -> Self {
        let content = ReadAck {
            chat_id: chat,
            message_id: position,
        };
        Envelope::answering(Some(id), "ack", content).frame()
    }
}
