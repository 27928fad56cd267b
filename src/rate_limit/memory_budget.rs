//! The budget of memory for answers. Memory is reserved before an answer is read from the database, and
//! returned once it is written to the client. A client that does not read keeps its own share alone.

use super::{KeyedPermit, KeyedSemaphore, LimitKey};
use crate::error::Error;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

/// The bytes of one permit.
const UNIT: usize = 1024;
/// The number of shares in the budget. One share is the most memory of one caller.
const SHARES: usize = 8;

/// The memory of all answers under way. A clone shares it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    total: Arc<Semaphore>,
    /// The shares of the callers that have reserved memory.
    shares: KeyedSemaphore<LimitKey>,
    /// The permits of one share, and of the largest reservation.
    share: u32,
}

/// Reserved memory. Dropping it returns the memory.
#[derive(Debug)]
pub struct Reservation {
    total: OwnedSemaphorePermit,
    share: KeyedPermit<LimitKey>,
}

impl MemoryBudget {
    /// Creates a budget. If `has_shares` is true, one caller may reserve an eighth of it.
    #[must_use]
    pub fn new(bytes: usize, has_shares: bool) -> Self {
        let units = (bytes / UNIT).clamp(SHARES, Semaphore::MAX_PERMITS);
        let share = u32::try_from(units / SHARES).unwrap_or(u32::MAX);
        Self {
            total: Arc::new(Semaphore::new(units)),
            shares: KeyedSemaphore::new(has_shares.then_some(share)),
            share,
        }
    }

    /// The permits for this number of bytes. More than a share counts as a share.
    fn units(&self, bytes: usize) -> u32 {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        units.min(self.share)
    }

    /// Reserves memory for a caller.
    ///
    /// # Errors
    /// `unavailable` if the memory is not free within `wait`.
    pub async fn reserve(
        &self,
        caller: LimitKey,
        bytes: usize,
        wait: Duration,
    ) -> Result<Reservation, Error> {
        let units = self.units(bytes);
        let reserving = async {
            // The share first: one caller never fills the queue for the total.
            let share = self.shares.acquire(&caller, units).await;
            let total = Arc::clone(&self.total).acquire_many_owned(units).await;
            total.ok().map(|total| Reservation { total, share })
        };
        let reserved = time::timeout(wait, reserving).await.ok().flatten();
        reserved.ok_or_else(Error::too_many_reads)
    }

    /// Reserves memory for a caller. `None` if the memory is not free.
    #[must_use]
    pub fn try_reserve(&self, caller: LimitKey, bytes: usize) -> Option<Reservation> {
        let units = self.units(bytes);
        let share = self.shares.try_acquire(&caller, units)?;
        let total = Arc::clone(&self.total).try_acquire_many_owned(units).ok()?;
        Some(Reservation { total, share })
    }
}

impl Reservation {
    /// Returns the memory beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let excess = self.total.num_permits().saturating_sub(units as usize);
        drop(self.total.split(excess));
        self.share.keep(units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, model::UserId};

    const CARL: LimitKey = LimitKey::User(UserId(1));
    const SIGMUND: LimitKey = LimitKey::User(UserId(2));
    const WAIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_caller_reserves_an_eighth() -> Result<(), Error> {
        let budget = MemoryBudget::new(80 * UNIT, true);
        let mut held = budget.reserve(CARL, 9 * UNIT, WAIT).await?;
        assert!(budget.try_reserve(CARL, UNIT).is_some());
        assert!(budget.try_reserve(CARL, 2 * UNIT).is_none());
        let refused = budget.reserve(CARL, 2 * UNIT, WAIT).await;
        assert_eq!(
            refused.err().map(|error| error.code()),
            Some(Code::Unavailable)
        );
        // More than a share counts as a share.
        assert!(budget.try_reserve(SIGMUND, 50 * UNIT).is_some());
        held.shrink_to(3 * UNIT - 1);
        let more = budget.try_reserve(CARL, 7 * UNIT);
        assert!(more.is_some());
        assert!(budget.try_reserve(CARL, UNIT).is_none());
        drop((held, more));
        assert_eq!(budget.total.available_permits(), 80);
        Ok(())
    }

    #[tokio::test]
    async fn all_callers_reserve_the_budget() {
        let budget = MemoryBudget::new(80 * UNIT, true);
        let caller = |user| LimitKey::User(UserId(user));
        let mut held: Vec<_> = (0..8)
            .map(|user| budget.try_reserve(caller(user), 10 * UNIT))
            .collect();
        assert!(held.iter().all(Option::is_some));
        assert!(budget.try_reserve(caller(8), UNIT).is_none());
        let waiting = budget.reserve(caller(8), UNIT, Duration::from_secs(60));
        held.pop();
        assert!(waiting.await.is_ok());
    }

    #[test]
    fn without_shares_one_caller_reserves_the_budget() {
        let budget = MemoryBudget::new(80 * UNIT, false);
        let held: Vec<_> = (0..8)
            .map(|_| budget.try_reserve(CARL, 10 * UNIT))
            .collect();
        assert!(held.iter().all(Option::is_some));
        assert!(budget.try_reserve(CARL, UNIT).is_none());
    }
}
