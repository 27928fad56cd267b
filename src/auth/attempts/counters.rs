//! Counters of failures, in bounded memory.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// When failures are forgotten, after the last.
pub(super) const MEMORY: Duration = Duration::from_secs(3600);
/// Most counters kept, some 5 MB; with more, any of them is forgotten.
pub(super) const MOST: usize = 100_000;
/// How often what may be forgotten is looked for, at most.
const PURGE: Duration = Duration::from_secs(60);

/// The counters, each under a number.
pub(super) struct Counters {
    by_key: HashMap<u64, Counter>,
    purged: Instant,
}

#[derive(Clone, Copy)]
struct Counter {
    failures: u32,
    last: Instant,
    /// Whether this account was signed in to from this address: such a one is not slowed.
    known: bool,
}

impl Counters {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            by_key: HashMap::new(),
            purged: now,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn is_known(&self, key: u64) -> bool {
        self.by_key.get(&key).is_some_and(|counter| counter.known)
    }

    pub(super) fn failures(&self, key: u64, now: Instant) -> u32 {
        let counter = self.by_key.get(&key).filter(|c| now - c.last < MEMORY);
        counter.map_or(0, |counter| counter.failures)
    }

    /// How long the next attempt must wait.
    pub(super) fn wait(&self, key: u64, free: u32, longest: Duration, now: Instant) -> Duration {
        let failures = self.failures(key, now);
        let (Some(counter), true) = (self.by_key.get(&key), failures >= free) else {
            return Duration::ZERO;
        };
        let doublings = (failures - free).min(16);
        let delay = Duration::from_secs(1 << doublings).min(longest);
        (counter.last + delay).saturating_duration_since(now)
    }

    pub(super) fn count(&mut self, key: u64, now: Instant) {
        if self.by_key.len() >= MOST && !self.by_key.contains_key(&key) {
            self.make_room(now);
        }
        let failures = self.failures(key, now);
        let counter = self.by_key.entry(key).or_insert(Counter {
            failures,
            last: now,
            known: false,
        });
        counter.failures = failures.saturating_add(1);
        counter.last = now;
    }

    pub(super) fn give_back(&mut self, key: u64) {
        if let Some(counter) = self.by_key.get_mut(&key) {
            counter.failures = counter.failures.saturating_sub(1);
        }
    }

    /// Forgets the failures, and remembers that it went well.
    pub(super) fn clear(&mut self, key: u64) {
        if let Some(counter) = self.by_key.get_mut(&key) {
            counter.failures = 0;
            counter.known = true;
        }
    }

    fn make_room(&mut self, now: Instant) {
        if now - self.purged >= PURGE {
            self.purged = now;
            self.by_key.retain(|_, counter| now - counter.last < MEMORY);
        }
        if self.by_key.len() >= MOST
            && let Some(&any) = self.by_key.keys().next()
        {
            self.by_key.remove(&any);
        }
    }
}
