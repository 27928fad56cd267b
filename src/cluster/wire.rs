//! What nodes tell each other, as bytes: a head of fixed length, then a chat's frames as they are
//! sent to sockets, or a note as JSON. A message of another version, or a broken one, is passed
//! over; the database heals.

use crate::{
    hub::{Batch, ControlMessage, NodeId},
    model::{ChatId, Seq},
    protocol::Frame,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counted up when an older node could misread a newer one.
const VERSION: u8 = 1;
const CHANGES: u8 = 1;
const PASSING: u8 = 2;
const NOTE: u8 = 3;
/// Version, kind, node, time, chat.
const HEAD: usize = 1 + 1 + 8 + 8 + 8;
/// A batch over this many bytes goes in several messages: NATS takes 1 MiB by default, and one
/// frame at most some 100 KiB.
const MOST: usize = 256 * 1024;

/// A message.
pub(super) struct Message {
    pub(super) node: NodeId,
    /// How old it is, in milliseconds by both nodes' clocks; 0 where theirs is ahead.
    pub(super) age_ms: u64,
    pub(super) body: Body,
}

pub(super) enum Body {
    /// Frames of a chat, not read yet: most often nobody here is in it.
    Changes(ChatId, Bytes),
    Passing(ChatId, Frame),
    Note(ControlMessage),
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

fn head(kind: u8, node: NodeId, chat: ChatId, room: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEAD + room);
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u64(node.0);
    bytes.put_u64(now_ms());
    bytes.put_i64(chat.0);
    bytes
}

/// A batch as messages of bearable size.
pub(super) fn changes(node: NodeId, chat: ChatId, batch: &Batch) -> Vec<Bytes> {
    let size = |frame: &Frame| 8 + 4 + frame.as_bytes().len();
    let mut messages = Vec::with_capacity(1);
    let mut rest = &batch[..];
    while let Some(((seq, frame), more)) = rest.split_first() {
        let total: usize = rest.iter().map(|(_, frame)| size(frame)).sum();
        let mut bytes = head(CHANGES, node, chat, total.min(MOST).max(size(frame)));
        put(&mut bytes, *seq, frame);
        rest = more;
        while let Some(((seq, frame), more)) = rest.split_first()
            && bytes.len() + size(frame) <= MOST
        {
            put(&mut bytes, *seq, frame);
            rest = more;
        }
        messages.push(bytes.freeze());
    }
    messages
}

fn put(bytes: &mut BytesMut, seq: Seq, frame: &Frame) {
    let frame = frame.as_bytes();
    bytes.put_i64(seq.0);
    bytes.put_u32(frame.len() as u32);
    bytes.put_slice(frame);
}

pub(super) fn passing(node: NodeId, chat: ChatId, frame: &Frame) -> Bytes {
    let mut bytes = head(PASSING, node, chat, frame.as_bytes().len());
    bytes.put_slice(frame.as_bytes());
    bytes.freeze()
}

pub(super) fn note(node: NodeId, note: &ControlMessage) -> Bytes {
    // Numbers and texts: JSON can hold all of it.
    let json = serde_json::to_vec(note).unwrap_or_default();
    let mut bytes = head(NOTE, node, ChatId(0), json.len());
    bytes.put_slice(&json);
    bytes.freeze()
}

/// Reads a message; none where it is not understood.
pub(super) fn read(mut bytes: Bytes) -> Option<Message> {
    if bytes.len() < HEAD || bytes.get_u8() != VERSION {
        return None;
    }
    let kind = bytes.get_u8();
    let node = NodeId(bytes.get_u64());
    let age_ms = now_ms().saturating_sub(bytes.get_u64());
    let chat = ChatId(bytes.get_i64());
    let body = match kind {
        CHANGES => Body::Changes(chat, bytes),
        PASSING => Body::Passing(chat, Frame::from_bytes(bytes)),
        NOTE => Body::Note(serde_json::from_slice(&bytes).ok()?),
        _ => return None,
    };
    Some(Message { node, age_ms, body })
}

/// Reads a chat's frames, sharing their bytes; none where they are broken, of another chat, or not
/// numbered one after the other: they go to people's sockets as they are.
pub(super) fn frames(chat: ChatId, mut bytes: Bytes) -> Option<Batch> {
    let mut frames: Vec<(Seq, Frame)> = Vec::new();
    while bytes.has_remaining() {
        let seq = Seq(bytes.try_get_i64().ok()?);
        let length = bytes.try_get_u32().ok()? as usize;
        if bytes.remaining() < length {
            return None;
        }
        let frame = Frame::from_bytes(bytes.split_to(length));
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

    fn batch(sizes: &[usize]) -> Batch {
        (1..)
            .map(Seq)
            .zip(sizes)
            .map(|(seq, size)| (seq, deletion(7, seq, *size)))
            .collect()
    }

    /// A frame that is longer by so many bytes than it must be.
    fn deletion(chat: i64, seq: Seq, size: usize) -> Frame {
        let pad = "x".repeat(size);
        let text = format!(
            r#"{{"type":"delete-message","content":1,"chatId":{chat},"seq":{seq},"pad":"{pad}"}}"#
        );
        Frame::from_bytes(text.into_bytes().into())
    }

    fn read_changes(bytes: Bytes) -> Option<(ChatId, Batch)> {
        match read(bytes)?.body {
            Body::Changes(chat, bytes) => Some((chat, frames(chat, bytes)?)),
            Body::Passing(..) | Body::Note(_) => None,
        }
    }

    #[test]
    fn a_batch_comes_out_as_it_went_in() {
        let sent = batch(&[3, 0, 200_000, 100_000, 90_000, 300_000, 1]);
        let messages = changes(NodeId(1), ChatId(7), &sent);
        assert!(messages.len() > 1);
        let mut came = Vec::new();
        for message in messages {
            assert!(message.len() < 512 * 1024);
            let Some((chat, frames)) = read_changes(message) else {
                panic!("a message is not understood");
            };
            assert_eq!(chat, ChatId(7));
            came.extend(frames.iter().map(|(seq, f)| (*seq, f.as_bytes().len())));
        }
        let sent: Vec<_> = sent.iter().map(|(s, f)| (*s, f.as_bytes().len())).collect();
        assert_eq!(came, sent);
    }

    #[test]
    fn what_no_node_would_say_is_passed_over() {
        let read = |seqs: &[i64], frame: &dyn Fn(Seq) -> Frame| {
            let batch: Batch = seqs.iter().map(|&n| (Seq(n), frame(Seq(n)))).collect();
            let message = changes(NodeId(1), ChatId(7), &batch).remove(0);
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
            assert!(!read(&[1], &|_| Frame::from_bytes(text.into())), "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_or_foreign_is_passed_over() {
        let whole = changes(NodeId(1), ChatId(7), &batch(&[5])).remove(0);
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
