//! A semaphore for each caller: further requests of a caller wait, and other callers do not notice. The limiter of
//! `concurrency.rs` refuses instead of waiting; it keeps a number for each caller, because every open connection holds
//! two of its permits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore for each caller, with a share of permits each. A clone shares the semaphores. Without a share
/// every caller gets its permits at once.
#[derive(Clone, Debug)]
pub struct KeyedSemaphore<K: Hash + Eq>(Option<Arc<Shares<K>>>);

#[derive(Debug)]
struct Shares<K> {
    /// The permits of one caller.
    share: u32,
    /// The callers that hold a permit or wait for one. A std lock, never held across an await.
    callers: Mutex<HashMap<K, Caller>>,
}

#[derive(Debug)]
struct Caller {
    permits: Arc<Semaphore>,
    /// The number of entries: permits that are held, and calls that wait.
    entries: usize,
}

/// Permits of one caller. Dropping them returns them.
#[derive(Debug)]
pub struct KeyedPermit<K: Hash + Eq> {
    /// `None` without a share.
    permit: Option<OwnedSemaphorePermit>,
    /// Declared after the permit: the permit is returned first.
    _entry: Option<Entry<K>>,
}

/// Keeps a caller's semaphore, which the last entry removes.
#[derive(Debug)]
struct Entry<K: Hash + Eq> {
    shares: Arc<Shares<K>>,
    caller: K,
}

impl<K: Hash + Eq + Clone> KeyedSemaphore<K> {
    /// Creates semaphores with `share` permits for each caller. `None` means unlimited.
    #[must_use]
    pub fn new(share: Option<u32>) -> Self {
        let shares = |share| {
            Arc::new(Shares {
                share,
                callers: Mutex::default(),
            })
        };
        Self(share.map(shares))
    }

    /// Waits for permits of the caller, at most its share. Cancel-safe: a dropped call leaves the queue.
    pub async fn acquire(&self, caller: &K, permits: u32) -> KeyedPermit<K> {
        let Some(shares) = &self.0 else {
            return KeyedPermit::unlimited();
        };
        let (semaphore, entry) = Entry::new(shares, caller);
        let permit = semaphore.acquire_many_owned(permits.min(shares.share));
        KeyedPermit {
            // The semaphores are never closed.
            permit: permit.await.ok(),
            _entry: Some(entry),
        }
    }

    /// Takes permits of the caller, at most its share. `None` if they are not free.
    #[must_use]
    pub fn try_acquire(&self, caller: &K, permits: u32) -> Option<KeyedPermit<K>> {
        let Some(shares) = &self.0 else {
            return Some(KeyedPermit::unlimited());
        };
        let (semaphore, entry) = Entry::new(shares, caller);
        let permit = semaphore.try_acquire_many_owned(permits.min(shares.share));
        Some(KeyedPermit {
            permit: Some(permit.ok()?),
            _entry: Some(entry),
        })
    }
}

impl<K: Hash + Eq> KeyedPermit<K> {
    fn unlimited() -> Self {
        Self {
            permit: None,
            _entry: None,
        }
    }

    /// Returns some of the permits, and keeps `permits` of them.
    pub(super) fn keep(&mut self, permits: u32) {
        if let Some(held) = &mut self.permit {
            let excess = held.num_permits().saturating_sub(permits as usize);
            drop(held.split(excess));
        }
    }
}

impl<K> Shares<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Caller>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> Entry<K> {
    fn new(shares: &Arc<Shares<K>>, caller: &K) -> (Arc<Semaphore>, Self) {
        let entry = Self {
            shares: Arc::clone(shares),
            caller: caller.clone(),
        };
        let mut callers = shares.lock();
        let known = callers.entry(caller.clone()).or_insert_with(|| Caller {
            permits: Arc::new(Semaphore::new(shares.share as usize)),
            entries: 0,
        });
        known.entries += 1;
        (Arc::clone(&known.permits), entry)
    }
}

impl<K: Hash + Eq> Drop for Entry<K> {
    fn drop(&mut self) {
        let mut callers = self.shares.lock();
        if let Some(known) = callers.get_mut(&self.caller) {
            known.entries -= 1;
            if known.entries == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_caller_waits_for_its_own_permits_alone() {
        let semaphore = KeyedSemaphore::new(Some(2));
        let first = semaphore.try_acquire(&"carl", 1);
        let second = semaphore.acquire(&"carl", 1).now_or_never();
        assert!(first.is_some() && second.is_some());
        assert!(semaphore.try_acquire(&"carl", 1).is_none());
        let mut waiting = Box::pin(semaphore.acquire(&"carl", 1));
        assert!((&mut waiting).now_or_never().is_none());
        // More than a share counts as a share.
        let other = semaphore.try_acquire(&"sigmund", 5);
        assert!(other.is_some(), "others have their own");
        assert!(semaphore.try_acquire(&"sigmund", 1).is_none());
        drop(first);
        let third = waiting.now_or_never();
        assert!(third.is_some());
        drop((second, third, other));
        let callers = semaphore.0.as_ref().map(|shares| shares.lock().len());
        assert_eq!(callers, Some(0), "no idle key is kept");
    }

    #[test]
    fn a_call_that_is_dropped_leaves_nothing() {
        let semaphore = KeyedSemaphore::new(Some(1));
        let mut held = semaphore.try_acquire(&"carl", 1);
        let mut waiting = Box::pin(semaphore.acquire(&"carl", 1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        assert!(held.take().is_some());
        let callers = semaphore.0.as_ref().map(|shares| shares.lock().len());
        assert_eq!(callers, Some(0));
        assert!(semaphore.try_acquire(&"carl", 1).is_some());
    }

    #[test]
    fn permits_that_are_not_kept_can_be_taken() {
        let semaphore = KeyedSemaphore::new(Some(10));
        let mut held = semaphore.try_acquire(&"carl", 10);
        assert!(semaphore.try_acquire(&"carl", 7).is_none());
        held.iter_mut().for_each(|permit| permit.keep(3));
        assert!(semaphore.try_acquire(&"carl", 8).is_none());
        assert!(semaphore.try_acquire(&"carl", 7).is_some());
    }

    #[test]
    fn without_a_share_no_caller_waits() {
        let semaphore = KeyedSemaphore::new(None);
        let all: Vec<_> = (0..1000)
            .map(|_| semaphore.try_acquire(&"carl", 1))
            .collect();
        assert!(all.iter().all(Option::is_some));
    }
}
