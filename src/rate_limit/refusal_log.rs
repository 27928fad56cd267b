//! Thins out the log of refusals by rate: one line a second per address. A flood causes as many
//! refusals as requests, and a line for each would flood the log.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Interval between two log lines of one address.
pub const REFUSAL_PERIOD: Duration = Duration::from_secs(1);
/// Most addresses tracked. Further addresses share the lines of one entry, `::`.
const MAX_ADDRESSES: usize = 10_000;

/// Addresses with recent refusals. A clone shares them.
#[derive(Clone, Default)]
pub struct RefusalLog(Arc<Mutex<HashMap<IpAddr, RefusalCount>>>);

struct RefusalCount {
    /// The time of the latest log line.
    logged: Instant,
    /// Refusals since the latest log line, which have no line.
    left_out: u64,
}

impl RefusalLog {
    /// Counts a refusal. If the refusal gets a log line, returns the number of earlier refusals
    /// without a line, else `None`.
    #[must_use]
    pub fn note(&self, address: IpAddr) -> Option<u64> {
        let now = Instant::now();
        let mut refused = self.lock();
        let known = refused.len() < MAX_ADDRESSES || refused.contains_key(&address);
        let address = if known {
            address
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        match refused.get_mut(&address) {
            None => {
                let logged = RefusalCount {
                    logged: now,
                    left_out: 0,
                };
                refused.insert(address, logged);
                Some(0)
            }
            Some(refused) if now - refused.logged >= REFUSAL_PERIOD => {
                refused.logged = now;
                Some(std::mem::take(&mut refused.left_out))
            }
            Some(refused) => {
                refused.left_out += 1;
                None
            }
        }
    }

    /// Removes the addresses with a latest line at least `age` ago. Returns each removed address
    /// that has refusals without a line, and their number.
    #[must_use]
    pub fn sweep(&self, age: Duration) -> Vec<(IpAddr, u64)> {
        let mut left_out = Vec::new();
        self.lock().retain(|address, refused| {
            let keep = refused.logged.elapsed() < age;
            if !keep && refused.left_out > 0 {
                left_out.push((*address, refused.left_out));
            }
            keep
        });
        left_out
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, RefusalCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn every_refusal_is_in_a_line_or_counted_by_one() {
        let refusals = RefusalLog::default();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let begun = Instant::now();
        let (mut lines, mut left_out) = (0, 0);
        for _ in 0..100_000 {
            if let Some(others) = refusals.note(address) {
                lines += 1;
                left_out += others;
            }
        }
        assert!(lines <= 1 + begun.elapsed().as_secs());
        let rest = loop {
            match refusals.sweep(REFUSAL_PERIOD).as_slice() {
                [] => {}
                [(swept, rest)] if *swept == address => break *rest,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(lines + left_out + rest, 100_000);
    }

    #[test]
    fn memory_is_bounded() {
        let refusals = RefusalLog::default();
        let most = u32::try_from(2 * MAX_ADDRESSES).unwrap_or(u32::MAX);
        for n in 0..most {
            let _ = refusals.note(IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        assert_eq!(refusals.lock().len(), MAX_ADDRESSES + 1);
    }
}
