//! How fast somebody may be, how much they may have at once, and who stands behind an address.

mod client_ip;
mod concurrency;
mod refusal_log;

use crate::error::Error;
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota,
    clock::{Clock, DefaultClock},
};
use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

pub use client_ip::{TrustedProxies, rate_limit_key};
pub use concurrency::{ConcurrencyLimiter, Permit};
pub use refusal_log::{REFUSAL_PERIOD, RefusalLog};

/// So many of something in a second, in the long run; after a pause, `burst_seconds` as much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second; 0 is taken for 1.
    pub per_second: u32,
    /// How many seconds' worth the bucket holds; 0 is taken for 1.
    pub burst_seconds: u32,
}

impl Rate {
    fn quota(self) -> Quota {
        let per_second = NonZeroU32::new(self.per_second).unwrap_or(NonZeroU32::MIN);
        let most = self.per_second.saturating_mul(self.burst_seconds);
        let burst = NonZeroU32::new(most).unwrap_or(per_second);
        Quota::per_second(per_second).allow_burst(burst)
    }
}

/// One bucket for each of many callers. Cloning shares them. Without a rate everyone passes.
#[derive(Clone)]
pub struct KeyedRateLimiter<K: Hash + Eq + Clone>(Option<Arc<DefaultKeyedRateLimiter<K>>>);

/// Without a rate.
impl<K: Hash + Eq + Clone> Default for KeyedRateLimiter<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Hash + Eq + Clone> KeyedRateLimiter<K> {
    /// Buckets of this rate.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| Arc::new(DefaultKeyedRateLimiter::dashmap(rate.quota()))))
    }

    /// Takes one from the caller's bucket.
    ///
    /// # Errors
    /// `rate_limited` where it is empty, with the time until it is not. `what` is what there are
    /// too many of: "requests from this address".
    pub fn take(&self, caller: &K, what: &str) -> Result<(), Error> {
        self.try_take(caller).map_err(|wait| too_fast(what, wait))
    }

    /// The same.
    ///
    /// # Errors
    /// The time until there is one, where there is none.
    pub fn try_take(&self, caller: &K) -> Result<(), Duration> {
        let Some(buckets) = &self.0 else {
            return Ok(());
        };
        let taken = buckets.check_key(caller);
        taken.map_err(|until| wait(&until, buckets.clock()))
    }

    /// Forgets the callers whose bucket is full again: they are as good as new. Memory is bounded
    /// by how many callers come between two sweeps.
    pub fn sweep(&self) {
        if let Some(buckets) = &self.0 {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }

    /// How many buckets are not full.
    #[cfg(test)]
    fn callers(&self) -> usize {
        self.0.as_ref().map_or(0, |buckets| buckets.len())
    }
}

/// One caller's bucket. Without a rate everything passes.
pub struct RateLimiter(Option<Box<DefaultDirectRateLimiter>>);

impl RateLimiter {
    /// A bucket of this rate.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| Box::new(DefaultDirectRateLimiter::direct(rate.quota()))))
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time until there is one, where there is none.
    pub fn take(&self) -> Result<(), Duration> {
        match &self.0 {
            Some(bucket) => bucket.check().map_err(|until| wait(&until, bucket.clock())),
            None => Ok(()),
        }
    }
}

/// The error for who is too fast. `what` is what there are too many of.
#[must_use]
pub fn too_fast(what: &str, wait: Duration) -> Error {
    Error::rate_limited(format!("Too many {what}; wait, then go on slower"), wait)
}

fn wait(until: &NotUntil<<DefaultClock as Clock>::Instant>, clock: &DefaultClock) -> Duration {
    until.wait_time_from(clock.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst_seconds: 3,
    };

    #[test]
    fn a_bucket_holds_so_many_and_tells_when_there_is_one_again() {
        let pace = RateLimiter::new(Some(RATE));
        for _ in 0..6 {
            assert!(pace.take().is_ok());
        }
        assert!(
            pace.take()
                .is_err_and(|wait| wait <= Duration::from_millis(500))
        );
        let free = RateLimiter::new(None);
        assert!((0..10_000).all(|_| free.take().is_ok()));
    }

    #[test]
    fn everyone_has_a_bucket_of_their_own() {
        let paces = KeyedRateLimiter::new(Some(RATE));
        for caller in 1..=2 {
            for _ in 0..6 {
                assert!(paces.take(&caller, "tests").is_ok());
            }
            let error = paces.take(&caller, "tests").err();
            let wait = error.and_then(|error| error.retry_after_ms());
            assert!(
                wait.is_some_and(|wait| (1..=500).contains(&wait)),
                "{wait:?}"
            );
        }
        paces.sweep();
        assert_eq!(paces.callers(), 2, "they are not full");
    }

    #[test]
    fn who_has_a_full_bucket_is_forgotten() {
        let paces = KeyedRateLimiter::new(Some(Rate {
            per_second: 1_000_000,
            burst_seconds: 1,
        }));
        for caller in 0..1000 {
            assert!(paces.take(&caller, "tests").is_ok());
        }
        while paces.callers() > 0 {
            paces.sweep();
        }
    }
}
