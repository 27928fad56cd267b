//! The changes of one commit to one chat, encoded once for all sockets.

use crate::{
    model::Seq,
    protocol::{EncodedFrames, Frame},
};
use bytes::Bytes;
use std::{ops::Deref, sync::Arc};

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
}

impl Batch {
    /// The frames from index `skip` on.
    #[must_use]
    pub fn encoded_from(&self, skip: usize) -> EncodedFrames {
        let (before, after) = self.split_at(skip.min(self.len()));
        let skipped: usize = before.iter().map(|(_, frame)| frame.encoded().len()).sum();
        let text = after.iter().map(|(_, frame)| frame.text().len()).sum();
        let bytes = self.0.encoded.slice(skipped..);
        EncodedFrames { bytes, text }
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
            return Self(Arc::new(Frames { frames, encoded }));
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
        Self(Arc::new(Frames { frames, encoded }))
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
            } = batch.encoded_from(skip);
            assert_eq!(length, texts[skip..].iter().map(String::len).sum::<usize>());
            assert_eq!(bytes.len(), length + headers[skip..].iter().sum::<usize>());
            assert_eq!(bytes[0], 0x81);
        }
        assert!(batch.encoded_from(texts.len()).bytes.is_empty());
    }
}
