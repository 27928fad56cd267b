//! Concurrency limits: how many connections or sockets one caller may have open.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A bounded number of permits per caller. A clone shares the counts. Without a limit every caller
/// gets a permit.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimiter<K: Hash + Eq>(Option<Arc<PermitCounts<K>>>);

#[derive(Debug)]
struct PermitCounts<K> {
    most: u32,
    /// The number of permits taken, per caller. A caller without permits has no entry.
    taken: Mutex<HashMap<K, u32>>,
}

/// A permit. Dropping the permit returns it.
#[derive(Debug)]
pub struct Permit<K: Hash + Eq>(Option<(Arc<PermitCounts<K>>, K)>);

impl<K: Hash + Eq + Clone> ConcurrencyLimiter<K> {
    /// Creates a limiter with `most` permits per caller. `None` means unlimited.
    #[must_use]
    pub fn new(most: Option<u32>) -> Self {
        let counts = |most| {
            Arc::new(PermitCounts {
                most,
                taken: Mutex::default(),
            })
        };
        Self(most.map(counts))
    }

    /// Takes a permit. Returns `None` if the caller already holds `most` permits.
    #[must_use]
    pub fn take(&self, caller: K) -> Option<Permit<K>> {
        let Some(counts) = &self.0 else {
            return Some(Permit(None));
        };
        let mut taken = counts.lock();
        let count = taken.entry(caller.clone()).or_default();
        if *count >= counts.most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Permit(Some((counts.clone(), caller))))
    }
}

impl<K> PermitCounts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Permit<K> {
    fn drop(&mut self) {
        let Some((counts, caller)) = &self.0 else {
            return;
        };
        let mut taken = counts.lock();
        if let Some(count) = taken.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_permit_can_be_taken_again() {
        let places = ConcurrencyLimiter::new(Some(2));
        let (first, second) = (places.take("carl"), places.take("carl"));
        assert!(first.is_some() && second.is_some());
        assert!(places.take("carl").is_none());
        assert!(places.take("sigmund").is_some(), "others have their own");
        drop(first);
        assert!(places.take("carl").is_some());
        drop(second);
        let counts = places.0.as_ref().map(|counts| counts.lock().len());
        assert_eq!(counts, Some(0), "no idle key is kept");
        let free = ConcurrencyLimiter::new(None);
        let all: Vec<_> = (0..1000).map(|_| free.take("carl")).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
