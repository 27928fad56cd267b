//! The changes of one commit to one chat, encoded once for all sockets.

use crate::{
    model::Seq,
    protocol::{Audience, EncodedFrames, Frame},
};
use bytes::Bytes;
use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// The changes of one commit to one chat, in the order of their seqs, without a gap. The frames are slices of
/// one buffer, so that one write hands all of them to a socket. A clone shares the batch.
#[derive(Clone, Debug)]
pub struct Batch(Arc<Frames>);

#[derive(Debug)]
struct Frames {
    /// Each frame with its seq.
    frames: Vec<(Seq, Frame)>,
    /// All frames, one after the other, as they are written to a socket.
    encoded: Bytes,
    /// True if all frames have types of the original API.
    all_original: bool,
    /// The frames with types of the original API, one after the other. Unset until a socket needs them.
    original: OnceLock<Bytes>,
}

impl Batch {
    fn of(frames: Vec<(Seq, Frame)>, encoded: Bytes) -> Self {
        let all_original = frames.iter().all(|(_, frame)| frame.is_original());
        Self(Arc::new(Frames {
            frames,
            encoded,
            all_original,
            original: OnceLock::new(),
        }))
    }

    /// The frames from index `skip` on that the audience takes.
    #[must_use]
    pub fn encoded_from(&self, skip: usize, audience: Audience) -> EncodedFrames {
        let taken = |frames: &[(Seq, Frame)], size: fn(&Frame) -> usize| -> usize {
            let frames = frames.iter().filter(|(_, frame)| audience.takes(frame));
            frames.map(|(_, frame)| size(frame)).sum()
        };
        let (before, after) = self.split_at(skip.min(self.len()));
        let skipped = taken(before, |frame| frame.encoded().len());
        let text = taken(after, |frame| frame.text().len());
        let bytes = self.encoded_for(audience).slice(skipped..);
        EncodedFrames { bytes, text }
    }

    /// All frames that the audience takes. Sockets of the original API share one copy without the others.
    fn encoded_for(&self, audience: Audience) -> &Bytes {
        if audience == Audience::All || self.0.all_original {
            return &self.0.encoded;
        }
        self.0.original.get_or_init(|| {
            let frames = self.iter().filter(|(_, frame)| frame.is_original());
            let frames: Vec<&[u8]> = frames.map(|(_, frame)| &**frame.encoded()).collect();
            frames.concat().into()
        })
    }
}

impl Deref for Batch {
    type Target = [(Seq, Frame)];

    fn deref(&self) -> &Self::Target {
        &self.0.frames
    }
}

impl From<Vec<(Seq, Frame)>> for Batch {
    fn from(mut frames: Vec<(Seq, Frame)>) -> Self {
        if let [(_, frame)] = &frames[..] {
            let encoded = frame.encoded().clone();
            return Self::of(frames, encoded);
        }
        let total = frames.iter().map(|(_, frame)| frame.encoded().len()).sum();
        let mut joined = Vec::with_capacity(total);
        for (_, frame) in &frames {
            joined.extend_from_slice(frame.encoded());
        }
        let encoded = Bytes::from(joined);
        let mut start = 0;
        for (_, frame) in &mut frames {
            let end = start + frame.encoded().len();
            *frame = frame.moved_to(encoded.slice(start..end));
            start = end;
        }
        Self::of(frames, encoded)
    }
}

impl FromIterator<(Seq, Frame)> for Batch {
    fn from_iter<I: IntoIterator<Item = (Seq, Frame)>>(frames: I) -> Self {
        Vec::from_iter(frames).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_slices_of_one_buffer() {
        let texts = [
            "{}".to_owned(),
            "x".repeat(125),
            "y".repeat(126),
            "z".repeat(70_000),
        ];
        let frame = |(seq, text): (i64, &String)| (Seq(seq), Frame::from_text(text.as_bytes()));
        let batch: Batch = (1..).zip(&texts).map(frame).collect();
        let headers = [2, 2, 4, 10];
        for (skip, text) in texts.iter().enumerate() {
            assert_eq!(batch[skip].1.text(), text.as_bytes());
            let EncodedFrames {
                bytes,
                text: length,
            } = batch.encoded_from(skip, Audience::All);
            assert_eq!(length, texts[skip..].iter().map(String::len).sum::<usize>());
            assert_eq!(bytes.len(), length + headers[skip..].iter().sum::<usize>());
            assert_eq!(bytes[0], 0x81);
        }
        assert!(
            batch
                .encoded_from(texts.len(), Audience::All)
                .bytes
                .is_empty()
        );
    }

    #[test]
    fn a_socket_of_the_original_is_sent_its_types_alone() {
        let texts = [
            r#"{"type":"send-message"}"#,
            r#"{"type":"update-member"}"#,
            r#"{"type":"delete-message"}"#,
        ];
        let frame = |(seq, text): (i64, &&str)| (Seq(seq), Frame::from_text(text.as_bytes()));
        let batch: Batch = (1..).zip(&texts).map(frame).collect();
        for (skip, expected) in [
            (0, texts[0].len() + texts[2].len()),
            (1, texts[2].len()),
            (2, texts[2].len()),
            (3, 0),
        ] {
            let EncodedFrames { bytes, text } = batch.encoded_from(skip, Audience::Original);
            assert_eq!(text, expected, "{skip}");
            assert!(bytes.ends_with(texts[2].as_bytes()) || skip == 3);
            assert!(!bytes.windows(13).any(|part| part == b"update-member"));
        }
    }
}
