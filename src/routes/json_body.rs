//! JSON bodies. A long body is encoded in chunks, as the client reads: escapes can make a text six times as long,
//! and the whole of it is never in memory.

use crate::rate_limit::Reservation;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::{convert::Infallible, mem, vec};

/// The size of a chunk, in bytes. A body up to this size is sent at once, with its length.
pub(super) const CHUNK: usize = 32 * 1024;

/// Returns an array of rows. `memory` is held until the body is written.
pub(super) fn array<T>(rows: Vec<T>, memory: Reservation) -> Body
where
    T: Serialize + Send + 'static,
{
    body(Chunks::new(rows, ["[", "]"], memory))
}

/// Returns one value. `memory` is held until the body is written.
pub(super) fn value<T>(value: T, memory: Reservation) -> Body
where
    T: Serialize + Send + 'static,
{
    body(Chunks::new(vec![value], ["", ""], memory))
}

fn body<T>(mut chunks: Chunks<T>) -> Body
where
    T: Serialize + Send + 'static,
{
    chunks.fill();
    match chunks.end {
        None if chunks.text.len() <= CHUNK => mem::take(&mut chunks.text).into(),
        _ => Body::from_stream(stream::iter(chunks)),
    }
}

/// The chunks of a body.
struct Chunks<T> {
    rows: vec::IntoIter<T>,
    /// The text that is encoded and not sent.
    text: Vec<u8>,
    /// The text between two rows; empty before the first row.
    separator: &'static str,
    /// The text after the last row. `None` once it is encoded.
    end: Option<&'static str>,
    /// Returned with the last chunk.
    _memory: Reservation,
}

impl<T: Serialize> Chunks<T> {
    fn new(rows: Vec<T>, [begin, end]: [&'static str; 2], memory: Reservation) -> Self {
        Self {
            rows: rows.into_iter(),
            text: begin.as_bytes().to_vec(),
            separator: "",
            end: Some(end),
            _memory: memory,
        }
    }

    /// Encodes rows until more than a chunk is encoded.
    fn fill(&mut self) {
        while self.text.len() <= CHUNK {
            let Some(row) = self.rows.next() else {
                let end = self.end.take().unwrap_or_default();
                self.text.extend_from_slice(end.as_bytes());
                return;
            };
            self.text.extend_from_slice(self.separator.as_bytes());
            self.separator = ",";
            // Serialization cannot fail: rows are strings, numbers and times.
            let _ = serde_json::to_writer(&mut self.text, &row);
        }
    }
}

impl<T: Serialize> Iterator for Chunks<T> {
    type Item = Result<Bytes, Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let size = self.text.len().min(CHUNK);
        if size == 0 {
            return None;
        }
        // Copied, so that a chunk that waits for the client does not keep the memory of its neighbours.
        let chunk = Bytes::copy_from_slice(&self.text[..size]);
        self.text.drain(..size);
        Some(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::UserId,
        rate_limit::{LimitKey, MemoryBudget},
    };
    use http_body::Body as _;
    use proptest::prelude::*;

    fn budget() -> MemoryBudget {
        MemoryBudget::new(1024 * 1024, true)
    }

    fn memory(budget: &MemoryBudget) -> Option<Reservation> {
        budget.try_reserve(LimitKey::User(UserId(1)), 128 * 1024)
    }

    /// The sizes of the chunks of a body, and its text.
    fn read(rows: Vec<String>) -> Option<(Vec<usize>, Vec<u8>)> {
        let mut chunks = Chunks::new(rows, ["[", "]"], memory(&budget())?);
        chunks.fill();
        let chunks: Vec<Bytes> = chunks.filter_map(Result::ok).collect();
        Some((chunks.iter().map(Bytes::len).collect(), chunks.concat()))
    }

    #[test]
    fn a_short_body_has_a_length_and_returns_its_memory() {
        let budget = budget();
        for (rows, length) in [(vec![], 2), (vec!["a"; 3], 13)] {
            let body = memory(&budget).map(|memory| array(rows, memory));
            let length_told = body.as_ref().and_then(|body| body.size_hint().exact());
            assert_eq!(length_told, Some(length));
            assert!(memory(&budget).is_some());
        }
        let body = memory(&budget).map(|memory| value("a", memory));
        let length = body.and_then(|body| body.size_hint().exact());
        assert_eq!(length, Some(3));
    }

    #[test]
    fn a_long_body_holds_its_memory() {
        let budget = budget();
        let rows = vec!["a".repeat(CHUNK)];
        let body = memory(&budget).map(|memory| array(rows, memory));
        let length = body.as_ref().and_then(|body| body.size_hint().exact());
        assert_eq!(length, None);
        assert!(memory(&budget).is_none());
        drop(body);
        assert!(memory(&budget).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_body_is_the_array_in_chunks(lengths in prop::collection::vec(0..40_000_usize, 0..12)) {
            let rows: Vec<String> = lengths.iter().map(|&length| "\u{1}".repeat(length)).collect();
            let whole = serde_json::to_vec(&rows).unwrap_or_default();
            let read = read(rows);
            let (sizes, text) = read.unwrap_or_default();
            prop_assert!(text == whole);
            let (last, others) = sizes.split_last().unwrap_or((&0, &[]));
            prop_assert!(*last > 0 && *last <= CHUNK);
            prop_assert!(others.iter().all(|&size| size == CHUNK));
        }
    }
}
