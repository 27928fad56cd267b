//! Frames from the server: their encoding, their types and the sockets that are sent them.

use super::client::RequestId;
use crate::model::{ChatId, Seq, UserId};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::str;

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a, T: Serialize> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a RawValue>,
    pub(super) content: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chat_id: Option<ChatId>,
    /// The inner None is null: the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_id: Option<Option<UserId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<Seq>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) replay: bool,
}

impl<'a, T: Serialize> Envelope<'a, T> {
    pub(super) fn new(kind: &'static str, content: T) -> Self {
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
    pub(super) fn change(
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

    pub(super) fn answering(id: Option<&'a RequestId>, kind: &'static str, content: T) -> Self {
        Self {
            id: id.map(|id| &**id),
            ..Self::new(kind, content)
        }
    }

    pub(super) fn frame(&self) -> Frame {
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
}
