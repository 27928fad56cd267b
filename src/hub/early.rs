//! Batches that came before those in front of them: two nodes commit to one chat one after the
//! other, but what they publish may cross on its way.

use super::Batch;
use crate::model::Seq;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Batches that a chat holds back at most: some thousand messages.
const MOST: usize = 32;

/// The batches of one chat that wait for their turn, by their first number, and until when each
/// does.
#[derive(Default)]
pub(super) struct Early(BTreeMap<i64, (Batch, Instant)>);

impl Early {
    /// Whether no more can wait.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Holds a batch back until then.
    pub(super) fn hold(&mut self, batch: Batch, until: Instant) {
        if let Some((first, _)) = batch.first() {
            self.0.insert(first.0, (batch, until));
        }
    }

    /// The next batch whose turn it is after `head`, passing over what is known already.
    pub(super) fn ready(&mut self, head: Seq) -> Option<Batch> {
        while let Some(first) = self.0.first_entry() {
            let (batch, _) = first.get();
            let new = batch.last().is_some_and(|(last, _)| *last > head);
            if new && *first.key() > head.next().0 {
                return None;
            }
            let (batch, _) = first.remove();
            if new {
                return Some(batch);
            }
        }
        None
    }

    /// The first batch, whosever turn it is, where it or one behind it has waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Option<Batch> {
        let is_due = self.0.values().any(|(_, until)| *until <= now);
        let first = is_due.then(|| self.0.pop_first()).flatten();
        first.map(|(_, (batch, _))| batch)
    }
}
