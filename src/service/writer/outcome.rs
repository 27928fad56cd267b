//! What became of the last change that the writer wanted to store.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When the last change was stored or was not, and which. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct LastOutcome(Arc<Mutex<Option<(Instant, bool)>>>);

impl LastOutcome {
    /// Notes whether the store took a change, which is not whether the change was allowed.
    pub(super) fn note(&self, stored: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), stored));
    }

    /// The outcome, where it is no older than this.
    pub(in crate::service) fn within(&self, period: Duration) -> Option<bool> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, stored) = last?;
        (at.elapsed() < period).then_some(stored)
    }
}
