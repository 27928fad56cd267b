//! Rate limiters, concurrency limiters, turns to read, the memory of answers, trusted proxies, and the log of
//! refusals.

mod client_ip;
mod concurrency;
mod keyed_semaphore;
mod memory_budget;
mod read_turns;
mod refusal_log;

use crate::{error::Error, model::UserId};
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota,
    clock::{Clock, DefaultClock},
};
use std::{hash::Hash, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

pub use client_ip::{TrustedProxies, rate_limit_key};
pub use concurrency::{ConcurrencyLimiter, Permit};
pub use keyed_semaphore::{KeyedPermit, KeyedSemaphore};
pub use memory_budget::{MemoryBudget, Reservation};
pub use read_turns::{ReadTurn, ReadTurns, ReadWeight};
pub use refusal_log::{REFUSAL_PERIOD, RefusalLog};

/// The caller that a share is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// The user of a session, or of a socket.
    User(UserId),
    /// The address of a request without a session, as `rate_limit_key` returns it.
    Address(IpAddr),
}

/// A rate: the average per second in the long run. After a pause, `burst_seconds` times as much may
/// pass at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units per second. 0 counts as 1.
    pub per_second: u32,
    /// Capacity of the bucket, in seconds of the rate. 0 counts as 1.
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

/// A rate limiter with one bucket per caller. A clone shares the buckets. Without a rate every
/// caller passes.
#[derive(Clone)]
pub struct KeyedRateLimiter<K: Hash + Eq + Clone>(Option<Arc<DefaultKeyedRateLimiter<K>>>);

/// The default limiter has no rate: every caller passes.
impl<K: Hash + Eq + Clone> Default for KeyedRateLimiter<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Hash + Eq + Clone> KeyedRateLimiter<K> {
    /// Creates buckets with this rate. `None` means unlimited.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| Arc::new(DefaultKeyedRateLimiter::dashmap(rate.quota()))))
    }

    /// Takes one unit from the caller's bucket. `what` names the counted things in the error text,
    /// for example "requests from this address".
    ///
    /// # Errors
    /// `rate_limited`, with the time until a unit is available, if the bucket is empty.
    pub fn take(&self, caller: &K, what: &str) -> Result<(), Error> {
        self.try_take(caller).map_err(|wait| too_fast(what, wait))
    }

    /// Takes one unit from the caller's bucket.
    ///
    /// # Errors
    /// The time until a unit is available, if the bucket is empty.
    pub fn try_take(&self, caller: &K) -> Result<(), Duration> {
        let Some(buckets) = &self.0 else {
            return Ok(());
        };
        let taken = buckets.check_key(caller);
        taken.map_err(|until| wait(&until, buckets.clock()))
    }

    /// Removes the callers with a full bucket, because a new bucket is full too. Memory is bounded
    /// by the number of callers between two sweeps.
    pub fn sweep(&self) {
        if let Some(buckets) = &self.0 {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }

    /// Returns the number of callers with a bucket that is not full.
    #[cfg(test)]
    fn callers(&self) -> usize {
        self.0.as_ref().map_or(0, |buckets| buckets.len())
    }
}

/// A rate limiter with a single bucket. Without a rate everything passes.
pub struct RateLimiter(Option<Box<DefaultDirectRateLimiter>>);

impl RateLimiter {
    /// Creates a bucket with this rate. `None` means unlimited.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| Box::new(DefaultDirectRateLimiter::direct(rate.quota()))))
    }

    /// Takes one unit from the bucket.
    ///
    /// # Errors
    /// The time until a unit is available, if the bucket is empty.
    pub fn take(&self) -> Result<(), Duration> {
        match &self.0 {
            Some(bucket) => bucket.check().map_err(|until| wait(&until, bucket.clock())),
            None => Ok(()),
        }
    }
}

/// Returns the `rate_limited` error. `what` names the counted things, `wait` is the time until a
/// unit is available.
#[must_use]
pub fn too_fast(what: &str, wait: Duration) -> Error {
    Error::rate_limited(format!("Too many {what}; wait, then send fewer"), wait)
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
    fn an_empty_bucket_refuses_with_the_time_to_wait() {
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
    fn each_caller_has_its_own_bucket() {
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
    fn callers_with_a_full_bucket_are_removed() {
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
