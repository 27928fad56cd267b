//! Batches that came before those in front of them: two nodes commit to one chat one after the
//! other, but what they publish may cross on its way.

use super::{Batch, channel::Source};
use crate::model::Seq;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Batches that a chat holds back at most: some thousand messages.
const MOST: usize = 32;

/// The batches of one chat that wait for their turn, by their first number.
#[derive(Default)]
pub(super) struct Early(BTreeMap<i64, Waiting>);

/// A batch, where it comes from, and until when it waits.
struct Waiting {
    batch: Batch,
    source: Source,
    until: Instant,
}

impl Early {
    /// Whether no more can wait.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Holds a batch back until then. What was committed here stands against what is heard.
    pub(super) fn hold(&mut self, batch: Batch, source: Source, until: Instant) {
        let Some((first, _)) = batch.first() else {
            return;
        };
        let known = self.0.get(&first.0);
        if source == Source::Here || known.is_none_or(|known| known.source == Source::There) {
            let first = first.0;
            let waiting = Waiting {
                batch,
                source,
                until,
            };
            self.0.insert(first, waiting);
        }
    }

    /// The next batch whose turn it is after `head`, passing over what is known already.
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

    /// The first batch, whosever turn it is, where it or one behind it has waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Batch, Source)> {
        let is_due = self.0.values().any(|waiting| waiting.until <= now);
        let first = is_due.then(|| self.0.pop_first()).flatten();
        first.map(|(_, waiting)| (waiting.batch, waiting.source))
    }
}
