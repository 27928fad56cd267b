//! The wire format of messages between nodes: a header of fixed length, then a chat's frames as they are sent
//! to sockets, or a control message as JSON. A message of another version and a malformed message are
//! ignored; the reconciler makes up for them from the database.

use crate::{
    hub::{Batch, ControlMessage, NodeId},
    model::{ChatId, Seq},
    protocol::Frame,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the format. Incremented when an older node could misread a newer node's messages.
const VERSION: u8 = 1;
/// The kind of a batch of changes.
const CHANGES: u8 = 1;
/// The kind of an ephemeral event.
const EPHEMERAL: u8 = 2;
/// The kind of a control message.
const CONTROL: u8 = 3;
/// The length of the header in bytes: version, kind, node, time of the event in milliseconds since 1970, chat.
/// Integers are big-endian.
const HEADER_BYTES: usize = 1 + 1 + 8 + 8 + 8;
/// The maximum size of a message with several frames, in bytes. A larger batch is split into several
/// messages: NATS accepts 1 MiB by default, and one frame has at most some 100 KiB.
const MAX_BATCH_BYTES: usize = 256 * 1024;

/// A received message.
pub(super) struct WireMessage {
    /// The node that sent the message.
    pub(super) node: NodeId,
    /// The time since the event, in milliseconds, by the clocks of both nodes. 0 if the sender's
    /// clock is ahead.
    pub(super) age_ms: u64,
    pub(super) body: WireBody,
}

/// The content of a message, by its kind.
pub(super) enum WireBody {
    /// A batch of changes of a chat, not decoded yet: usually no socket of this node is in the chat.
    Changes(ChatId, Bytes),
    /// The frame of an ephemeral event of a chat.
    Ephemeral(ChatId, Frame),
    /// A message about presence, users, sessions or nodes.
    Control(ControlMessage),
}

/// The sender of a message, and the time of its event.
type Origin = (NodeId, SystemTime);

/// A time in milliseconds since 1970; 0 for a time before that.
fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A buffer that begins with a header, with capacity for `room` more bytes.
fn header(kind: u8, (node, at): Origin, chat: ChatId, room: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + room);
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u64(node.0);
    bytes.put_u64(ms(at));
    bytes.put_i64(chat.0);
    bytes
}

/// Encodes a batch, as several messages if it exceeds `MAX_BATCH_BYTES`.
pub(super) fn changes(origin: Origin, chat: ChatId, batch: &Batch) -> Vec<Bytes> {
    let size = |frame: &Frame| 8 + 4 + frame.text().len();
    let mut messages = Vec::with_capacity(1);
    let mut rest = &batch[..];
    while let Some(((seq, frame), more)) = rest.split_first() {
        let total: usize = rest.iter().map(|(_, frame)| size(frame)).sum();
        let mut bytes = header(
            CHANGES,
            origin,
            chat,
            total.min(MAX_BATCH_BYTES).max(size(frame)),
        );
        put_frame(&mut bytes, *seq, frame);
        rest = more;
        while let Some(((seq, frame), more)) = rest.split_first()
            && bytes.len() + size(frame) <= MAX_BATCH_BYTES
        {
            put_frame(&mut bytes, *seq, frame);
            rest = more;
        }
        messages.push(bytes.freeze());
    }
    messages
}

/// Appends a frame: its `seq` (8 bytes), its length (4 bytes), its bytes.
fn put_frame(bytes: &mut BytesMut, seq: Seq, frame: &Frame) {
    let frame = frame.text();
    bytes.put_i64(seq.0);
    bytes.put_u32(frame.len() as u32);
    bytes.put_slice(frame);
}

/// Encodes the frame of an ephemeral event.
pub(super) fn ephemeral(origin: Origin, chat: ChatId, frame: &Frame) -> Bytes {
    let mut bytes = header(EPHEMERAL, origin, chat, frame.text().len());
    bytes.put_slice(frame.text());
    bytes.freeze()
}

/// Encodes a control message.
pub(super) fn control(origin: Origin, note: &ControlMessage) -> Bytes {
    // The encoding cannot fail: a control message holds only numbers, strings and lists.
    let json = serde_json::to_vec(note).unwrap_or_default();
    let mut bytes = header(CONTROL, origin, ChatId(0), json.len());
    bytes.put_slice(&json);
    bytes.freeze()
}

/// Decodes a message. `None` if it is truncated or malformed, or has an unknown version or kind.
pub(super) fn read(mut bytes: Bytes) -> Option<WireMessage> {
    if bytes.len() < HEADER_BYTES || bytes.get_u8() != VERSION {
        return None;
    }
    let kind = bytes.get_u8();
    let node = NodeId(bytes.get_u64());
    let age_ms = ms(SystemTime::now()).saturating_sub(bytes.get_u64());
    let chat = ChatId(bytes.get_i64());
    let body = match kind {
        CHANGES => WireBody::Changes(chat, bytes),
        EPHEMERAL => WireBody::Ephemeral(chat, Frame::from_text(&bytes)),
        CONTROL => WireBody::Control(serde_json::from_slice(&bytes).ok()?),
        _ => return None,
    };
    Some(WireMessage { node, age_ms, body })
}

/// Decodes a batch of changes. `None` if a frame is malformed or belongs to another
/// chat, or if the `seq`s are not consecutive. The checks are strict because the frames are sent to sockets
/// unchanged.
pub(super) fn frames(chat: ChatId, mut bytes: Bytes) -> Option<Batch> {
    let mut frames: Vec<(Seq, Frame)> = Vec::new();
    while bytes.has_remaining() {
        let seq = Seq(bytes.try_get_i64().ok()?);
        let length = bytes.try_get_u32().ok()? as usize;
        if bytes.remaining() < length {
            return None;
        }
        let frame = Frame::from_text(&bytes.split_to(length));
        let is_next = match frames.last() {
            Some((last, _)) => seq == last.next(),
            None => seq > Seq(0),
        };
        if !is_next || !frame.is_change(chat, seq) {
            return None;
        }
        frames.push((seq, frame));
    }
    (!frames.is_empty()).then(|| frames.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = (NodeId(1), UNIX_EPOCH);

    fn batch(sizes: &[usize]) -> Batch {
        (1..)
            .map(Seq)
            .zip(sizes)
            .map(|(seq, size)| (seq, deletion(7, seq, *size)))
            .collect()
    }

    /// A frame of a deletion, padded by `size` bytes.
    fn deletion(chat: i64, seq: Seq, size: usize) -> Frame {
        let pad = "x".repeat(size);
        let text = format!(
            r#"{{"type":"delete-message","content":1,"chatId":{chat},"seq":{seq},"pad":"{pad}"}}"#
        );
        Frame::from_text(text.as_bytes())
    }

    fn read_changes(bytes: Bytes) -> Option<(ChatId, Batch)> {
        match read(bytes)?.body {
            WireBody::Changes(chat, bytes) => Some((chat, frames(chat, bytes)?)),
            WireBody::Ephemeral(..) | WireBody::Control(_) => None,
        }
    }

    #[test]
    fn a_batch_survives_encoding_and_decoding() {
        let sent = batch(&[3, 0, 200_000, 100_000, 90_000, 300_000, 1]);
        let messages = changes(ORIGIN, ChatId(7), &sent);
        assert!(messages.len() > 1);
        let mut came = Vec::new();
        for message in messages {
            assert!(message.len() < 512 * 1024);
            let Some((chat, frames)) = read_changes(message) else {
                panic!("a message is not understood");
            };
            assert_eq!(chat, ChatId(7));
            came.extend(frames.iter().map(|(seq, f)| (*seq, f.text().len())));
        }
        let sent: Vec<_> = sent.iter().map(|(s, f)| (*s, f.text().len())).collect();
        assert_eq!(came, sent);
    }

    #[test]
    fn implausible_changes_are_ignored() {
        let read = |seqs: &[i64], frame: &dyn Fn(Seq) -> Frame| {
            let batch: Batch = seqs.iter().map(|&n| (Seq(n), frame(Seq(n)))).collect();
            let message = changes(ORIGIN, ChatId(7), &batch).remove(0);
            read_changes(message).is_some()
        };
        let right = |seq: Seq| deletion(7, seq, 0);
        assert!(read(&[1, 2], &right));
        for wrong in [&[0][..], &[-1], &[1, 3], &[2, 1], &[1, 1]] {
            assert!(!read(wrong, &right), "{wrong:?}");
        }
        assert!(!read(&[1], &|seq| deletion(8, seq, 0)));
        assert!(!read(&[1], &|_| deletion(7, Seq(2), 0)));
        for text in [&b"{}"[..], b"", b"\xff", b"[1]", b"{\"type\":\"join\"}"] {
            assert!(!read(&[1], &|_| Frame::from_text(text)), "{text:?}");
        }
    }

    #[test]
    fn truncated_and_foreign_messages_are_ignored() {
        let whole = changes(ORIGIN, ChatId(7), &batch(&[5])).remove(0);
        for length in 0..whole.len() {
            assert!(read_changes(whole.slice(..length)).is_none(), "{length}");
        }
        let mut other = whole.to_vec();
        other[0] = VERSION + 1;
        assert!(read(other.into()).is_none());
        assert!(
            read(Bytes::from_static(
                b"{\"hello\":\"world, this is not ours\"}"
            ))
            .is_none()
        );
    }
}
