//! What the link has done, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of the link, from the start of the process.
#[derive(Debug, Default)]
pub(in crate::hub) struct Counters {
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    healed: AtomicU64,
    reconnects: AtomicU64,
}

/// What the counters say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages handed to NATS.
    pub published: u64,
    /// Messages that came from other nodes.
    pub received: u64,
    /// Messages that were not handed to NATS: it was away, or behind by a full queue.
    pub dropped: u64,
    /// Times that a chat had missed something, and was told to read it from the database.
    pub healed: u64,
    /// Times that the connection to NATS was lost and made again.
    pub reconnects: u64,
}

impl Counters {
    pub(super) fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(in crate::hub) fn healed(&self) {
        self.healed.fetch_add(1, Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// What they say now.
    pub(in crate::hub) fn read(&self) -> Figures {
        Figures {
            published: self.published.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            healed: self.healed.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
        }
    }
}
