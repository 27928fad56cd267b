//! Limits how fast passwords can be guessed.
//!
//! Three limits apply. None of them locks an account: a stranger who fails on purpose must not keep
//! the owner out.
//! - One address on one account: after 5 failures in a row the next attempt must wait 1 s. Each
//!   further failure doubles the wait, up to 60 s. The owner, at another address, is not affected.
//! - One address on all accounts: after 50 failures the next attempt must wait 1 s. Each further
//!   failure doubles the wait, up to 10 s, so that trying one password on many names gains nothing.
//!   A success takes back only its own count: an attacker cannot reset an address by signing in to
//!   an account of their own.
//! - One account from all addresses: after 100 failures, an address that has not signed in to the
//!   account recently is answered 1 s later. Such a login is never refused.
//!
//! An attempt counts as failed until it has succeeded, so parallel attempts gain nothing. Failures
//! are forgotten one hour after the last one. The counters belong to this process and use bounded
//! memory. IPv6 addresses count by their /64 network, the size that one customer gets. Users behind
//! one address (a company, or a proxy that the server does not trust) share its waits, so the waits
//! are short.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures of one address on one account before the address must wait.
const FREE_PAIR: u32 = 5;
/// Failures of one address on all accounts before the address must wait.
const FREE_ADDRESS: u32 = 50;
/// Failures on one account from all addresses before unknown addresses are slowed down.
const FREE_ACCOUNT: u32 = 100;
/// Longest wait of one address on one account.
const LONGEST_PAIR: Duration = Duration::from_secs(60);
/// Longest wait of one address on all accounts.
const LONGEST_ADDRESS: Duration = Duration::from_secs(10);
/// Extra delay of the answer to an unknown address, for an account under attack.
const ATTACK_DELAY: Duration = Duration::from_secs(1);
/// Time after the last failure at which failures are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Most counters kept, about 5 MB. At the limit an arbitrary counter is evicted.
const MAX_COUNTERS: usize = 100_000;
/// Shortest interval between two purges of expired counters.
const PURGE_PERIOD: Duration = Duration::from_secs(60);

/// Counts failed logins. A clone shares the counters.
#[derive(Clone)]
pub struct LoginThrottle(Arc<ThrottleInner>);

struct ThrottleInner {
    /// Hashes names and addresses to the keys of the counters. Its secret is random per process, so
    /// an attacker cannot construct two names with one key.
    hasher: RandomState,
    /// A std mutex, because it is held for a few map operations and never across an await.
    counters: Mutex<Counters>,
}

/// A login in progress. It counts as failed until `succeeded` or `undecided` is called.
pub struct LoginAttempt {
    attempts: LoginThrottle,
    pair: u64,
    address: u64,
    account: u64,
    /// Time by which the answer is to be delayed. Zero if the login is not slowed down.
    pub delay: Duration,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        let counters = Mutex::new(Counters::new(Instant::now()));
        let hasher = RandomState::new();
        Self(Arc::new(ThrottleInner { hasher, counters }))
    }
}

impl LoginThrottle {
    /// Starts a login to an account from an address. The account need not exist.
    ///
    /// # Errors
    /// The time to wait before the next attempt.
    pub fn begin(&self, account: &str, address: IpAddr) -> Result<LoginAttempt, Duration> {
        self.begin_at(account, address, Instant::now())
    }

    fn begin_at(
        &self,
        account: &str,
        address: IpAddr,
        now: Instant,
    ) -> Result<LoginAttempt, Duration> {
        let address = network(address);
        let pair = self.key(("pair", account, address));
        let by_address = self.key(("address", address));
        let by_account = self.key(("account", account));
        let mut counters = self.counters();
        let wait = counters.wait(pair, FREE_PAIR, LONGEST_PAIR, now);
        let wait = wait.max(counters.wait(by_address, FREE_ADDRESS, LONGEST_ADDRESS, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        let known = counters.is_known(pair);
        let attacked = counters.failures(by_account, now) >= FREE_ACCOUNT;
        for key in [pair, by_address, by_account] {
            counters.count(key, now);
        }
        let delay = match attacked && !known {
            true => ATTACK_DELAY,
            false => Duration::ZERO,
        };
        Ok(LoginAttempt {
            attempts: self.clone(),
            pair,
            address: by_address,
            account: by_account,
            delay,
        })
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.0.hasher.hash_one(of)
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginAttempt {
    /// Records that the password was right. Clears the failures of this address on this account.
    pub fn succeeded(self) {
        let mut counters = self.attempts.counters();
        counters.give_back(self.address);
        counters.give_back(self.account);
        counters.clear(self.pair);
    }

    /// Takes the attempt back, because the password could not be checked.
    pub fn undecided(self) {
        let mut counters = self.attempts.counters();
        for key in [self.pair, self.address, self.account] {
            counters.give_back(key);
        }
    }
}

/// Returns the address that failures count under: an IPv4 address, or the /64 network of an IPv6
/// address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let prefix = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 => v4,
    }
}

/// Failure counters by key.
struct Counters {
    by_key: HashMap<u64, Counter>,
    purged: Instant,
}

#[derive(Clone, Copy)]
struct Counter {
    failures: u32,
    last: Instant,
    /// True if a login to this account from this address has succeeded. Such an address is not
    /// slowed down.
    known: bool,
}

impl Counters {
    fn new(now: Instant) -> Self {
        Self {
            by_key: HashMap::new(),
            purged: now,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_key.len()
    }

    fn is_known(&self, key: u64) -> bool {
        self.by_key.get(&key).is_some_and(|counter| counter.known)
    }

    fn failures(&self, key: u64, now: Instant) -> u32 {
        let counter = self
            .by_key
            .get(&key)
            .filter(|c| now - c.last < FORGET_AFTER);
        counter.map_or(0, |counter| counter.failures)
    }

    /// Returns the time that the next attempt must wait. Zero if it may start now.
    fn wait(&self, key: u64, free: u32, longest: Duration, now: Instant) -> Duration {
        let failures = self.failures(key, now);
        let (Some(counter), true) = (self.by_key.get(&key), failures >= free) else {
            return Duration::ZERO;
        };
        let doublings = (failures - free).min(16);
        let delay = Duration::from_secs(1 << doublings).min(longest);
        (counter.last + delay).saturating_duration_since(now)
    }

    fn count(&mut self, key: u64, now: Instant) {
        if self.by_key.len() >= MAX_COUNTERS && !self.by_key.contains_key(&key) {
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

    fn give_back(&mut self, key: u64) {
        if let Some(counter) = self.by_key.get_mut(&key) {
            counter.failures = counter.failures.saturating_sub(1);
        }
    }

    /// Clears the failures, and marks the address as known for the account.
    fn clear(&mut self, key: u64) {
        if let Some(counter) = self.by_key.get_mut(&key) {
            counter.failures = 0;
            counter.known = true;
        }
    }

    fn make_room(&mut self, now: Instant) {
        if now - self.purged >= PURGE_PERIOD {
            self.purged = now;
            self.by_key
                .retain(|_, counter| now - counter.last < FORGET_AFTER);
        }
        if self.by_key.len() >= MAX_COUNTERS
            && let Some(&any) = self.by_key.keys().next()
        {
            self.by_key.remove(&any);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn stranger(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    /// Makes `times` attempts that fail. Returns the wait of the last attempt, zero if it was not
    /// refused.
    fn fail(
        attempts: &LoginThrottle,
        account: &str,
        from: IpAddr,
        times: u32,
        now: Instant,
    ) -> Duration {
        let mut wait = Duration::ZERO;
        for _ in 0..times {
            wait = attempts
                .begin_at(account, from, now)
                .err()
                .unwrap_or_default();
        }
        wait
    }

    #[test]
    fn the_wait_grows_for_one_address_and_not_for_the_owner_at_another() {
        let (attempts, now) = (LoginThrottle::default(), Instant::now());
        assert!(fail(&attempts, "carl", stranger(1), FREE_PAIR, now).is_zero());
        let second = Duration::from_secs(1);
        assert_eq!(fail(&attempts, "carl", stranger(1), 9, now), second);
        assert!(fail(&attempts, "carl", stranger(1), 1, now + second).is_zero());
        assert_eq!(
            fail(&attempts, "carl", stranger(1), 1, now + second),
            2 * second
        );
        assert!(attempts.begin_at("carl", OWNER, now).is_ok());
        assert!(attempts.begin_at("dora", stranger(1), now).is_ok());
        let mut later = now;
        for _ in 0..20 {
            later += LONGEST_PAIR;
            assert!(
                attempts.begin_at("carl", stranger(1), later).is_ok(),
                "never for ever"
            );
        }
    }

    #[test]
    fn one_address_cannot_try_many_names() {
        let (attempts, now) = (LoginThrottle::default(), Instant::now());
        for n in 0..FREE_ADDRESS {
            assert!(attempts.begin_at(&n.to_string(), stranger(1), now).is_ok());
        }
        assert!(attempts.begin_at("another", stranger(1), now).is_err());
        assert!(attempts.begin_at("another", stranger(2), now).is_ok());
    }

    #[test]
    fn many_addresses_slow_an_account_down_but_not_for_its_owner() {
        let (attempts, now) = (LoginThrottle::default(), Instant::now());
        let owner = attempts.begin_at("carl", OWNER, now);
        assert!(owner.map(LoginAttempt::succeeded).is_ok());
        for n in 0..FREE_ACCOUNT {
            let attempt = attempts.begin_at("carl", stranger(n), now);
            assert!(attempt.is_ok_and(|a| a.delay.is_zero()));
        }
        let delay = |from| attempts.begin_at("carl", from, now).map(|a| a.delay).ok();
        assert_eq!(delay(stranger(9999)), Some(ATTACK_DELAY));
        assert_eq!(delay(OWNER), Some(Duration::ZERO));
    }

    #[test]
    fn success_is_given_back_and_failures_are_forgotten() {
        let (attempts, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..10 * FREE_ADDRESS {
            let attempt = attempts.begin_at("carl", OWNER, now);
            assert!(attempt.map(LoginAttempt::succeeded).is_ok());
        }
        assert!(!fail(&attempts, "carl", OWNER, 3 * FREE_PAIR, now).is_zero());
        assert!(fail(&attempts, "carl", OWNER, FREE_PAIR, now + FORGET_AFTER).is_zero());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_memory_is_bounded() {
        let (attempts, now) = (LoginThrottle::default(), Instant::now());
        let within = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | n));
        for n in 0..FREE_PAIR {
            assert!(attempts.begin_at("carl", within(n.into()), now).is_ok());
        }
        assert!(attempts.begin_at("carl", within(1 << 63), now).is_err());
        assert!(attempts.begin_at("carl", within(1 << 64), now).is_ok());
        for n in 0..MAX_COUNTERS as u32 {
            let _ = attempts.begin_at(&n.to_string(), stranger(n), now);
        }
        assert!(attempts.counters().len() <= MAX_COUNTERS);
    }
}
