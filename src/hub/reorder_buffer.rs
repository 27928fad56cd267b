//! The reorder buffer: batches of one chat that arrived before their predecessors.

use super::{batch::Batch, room::Source};
use crate::model::Seq;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The most batches that the reorder buffer of one chat holds: some thousand messages.
const BUFFER_CAPACITY: usize = 32;

/// The early batches of one chat, by their first seq.
#[derive(Default)]
pub(super) struct ReorderBuffer(BTreeMap<i64, Waiting>);

/// An early batch with its origin and the end of its wait.
struct Waiting {
    batch: Batch,
    source: Source,
    until: Instant,
}

impl ReorderBuffer {
    /// True if the buffer takes no further batch.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= BUFFER_CAPACITY
    }

    /// Buffers a batch until `until`. A batch of this node replaces a batch of another node with an equal
    /// first seq, and is not replaced by one.
    pub(super) fn hold(&mut self, batch: Batch, source: Source, until: Instant) {
        let Some((first, _)) = batch.first() else {
            return;
        };
        let known = self.0.get(&first.0);
        if source == Source::Local || known.is_none_or(|known| known.source == Source::Remote) {
            let first = first.0;
            let waiting = Waiting {
                batch,
                source,
                until,
            };
            self.0.insert(first, waiting);
        }
    }

    /// Removes and returns the first batch that continues `head`. Batches that end at or before `head` are
    /// discarded. `None` if the next batch leaves a gap, or the buffer is empty.
    pub(super) fn ready(&mut self, head: Seq) -> Option<Batch> {
        while let Some(first) = self.0.first_entry() {
            let new = first
                .get()
                .batch
                .last()
                .is_some_and(|(last, _)| *last > head);
            if new && *first.key() > head.next().0 {
                return None;
            }
            let batch = first.remove().batch;
            if new {
                return Some(batch);
            }
        }
        None
    }

    /// Removes and returns the first batch, in order of seqs, if any buffered batch is overdue. An earlier
    /// batch must leave the buffer before the overdue batch does, even if its own wait has not ended.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Batch, Source)> {
        let is_due = self.0.values().any(|waiting| waiting.until <= now);
        let first = is_due.then(|| self.0.pop_first()).flatten();
        first.map(|(_, waiting)| (waiting.batch, waiting.source))
    }
}
