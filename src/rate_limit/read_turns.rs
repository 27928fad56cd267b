//! Turns for reads of pages. Neither one caller nor all searches together take every reading connection.

use super::{KeyedPermit, KeyedSemaphore, LimitKey};
use crate::error::Error;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

/// The most pages that one caller reads at once.
const AT_ONCE: u32 = 2;

/// The cost of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWeight {
    /// A page that begins at the newest message, or a page of a list of names.
    Light,
    /// A search, an older page, the changes since a `seq`, or the chats of a user.
    Heavy,
}

/// The turns of all callers. A clone shares them.
#[derive(Clone, Debug)]
pub struct ReadTurns {
    /// The turns of each caller.
    own: KeyedSemaphore<LimitKey>,
    /// All connections but one, so that other requests find one.
    light: Arc<Semaphore>,
    /// Half of the connections, rounded up.
    heavy: Arc<Semaphore>,
}

/// A turn to read. Dropping it ends the turn.
#[derive(Debug)]
pub struct ReadTurn {
    _own: KeyedPermit<LimitKey>,
    _connection: OwnedSemaphorePermit,
}

impl ReadTurns {
    /// Creates the turns of a pool with `readers` reading connections. If `has_shares` is true, one caller
    /// reads two pages at once, and one fewer than the heavy reads of all callers.
    #[must_use]
    pub fn new(readers: usize, has_shares: bool) -> Self {
        let heavy = readers.div_ceil(2).max(1);
        let others = u32::try_from(heavy - 1).unwrap_or(u32::MAX);
        let own = AT_ONCE.min(others).max(1);
        Self {
            own: KeyedSemaphore::new(has_shares.then_some(own)),
            light: Arc::new(Semaphore::new(readers.saturating_sub(1).max(1))),
            heavy: Arc::new(Semaphore::new(heavy)),
        }
    }

    /// Waits for a turn to read.
    ///
    /// # Errors
    /// `unavailable` if no turn is free within `wait`.
    pub async fn take(
        &self,
        caller: LimitKey,
        weight: ReadWeight,
        wait: Duration,
    ) -> Result<ReadTurn, Error> {
        let connections = match weight {
            ReadWeight::Light => &self.light,
            ReadWeight::Heavy => &self.heavy,
        };
        let taking = async {
            // The caller's own turn first: one caller never fills the queue of the others.
            let own = self.own.acquire(&caller, 1).await;
            let connection = Arc::clone(connections).acquire_owned().await;
            connection.ok().map(|connection| ReadTurn {
                _own: own,
                _connection: connection,
            })
        };
        let taken = time::timeout(wait, taking).await.ok().flatten();
        taken.ok_or_else(Error::too_many_reads)
    }

    /// Waits for one of the caller's own turns, for a read that has a limit of its own on connections.
    ///
    /// # Errors
    /// `unavailable` if no turn is free within `wait`.
    pub async fn take_own(
        &self,
        caller: LimitKey,
        wait: Duration,
    ) -> Result<KeyedPermit<LimitKey>, Error> {
        let taken = time::timeout(wait, self.own.acquire(&caller, 1)).await;
        taken.map_err(|_| Error::too_many_reads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, model::UserId};

    const CARL: LimitKey = LimitKey::User(UserId(1));
    const SIGMUND: LimitKey = LimitKey::User(UserId(2));
    const WAIT: Duration = Duration::from_millis(20);

    async fn code(turns: &ReadTurns, caller: LimitKey, weight: ReadWeight) -> Option<Code> {
        let taken = turns.take(caller, weight, WAIT).await;
        taken.err().map(|error| error.code())
    }

    #[tokio::test]
    async fn the_third_read_of_a_caller_waits_and_others_read() -> Result<(), Error> {
        let turns = ReadTurns::new(5, true);
        let first = turns.take(CARL, ReadWeight::Heavy, WAIT).await?;
        let _second = turns.take(CARL, ReadWeight::Light, WAIT).await?;
        for weight in [ReadWeight::Heavy, ReadWeight::Light] {
            assert_eq!(code(&turns, CARL, weight).await, Some(Code::Unavailable));
            assert_eq!(code(&turns, SIGMUND, weight).await, None);
        }
        assert!(turns.take_own(CARL, WAIT).await.is_err());
        drop(first);
        assert_eq!(code(&turns, CARL, ReadWeight::Heavy).await, None);
        Ok(())
    }

    #[tokio::test]
    async fn searches_leave_connections_to_other_reads() -> Result<(), Error> {
        for (readers, searches) in [(1, 1), (2, 1), (4, 2), (5, 3), (15, 8)] {
            let turns = ReadTurns::new(readers, true);
            let mut held = Vec::new();
            for user in 0..searches {
                let caller = LimitKey::User(UserId(user));
                held.push(turns.take(caller, ReadWeight::Heavy, WAIT).await?);
            }
            let refused = Some(Code::Unavailable);
            let other = LimitKey::User(UserId(searches));
            assert_eq!(code(&turns, other, ReadWeight::Heavy).await, refused);
            assert_eq!(code(&turns, other, ReadWeight::Light).await, None);
        }
        Ok(())
    }

    #[tokio::test]
    async fn one_caller_leaves_a_search_to_others() -> Result<(), Error> {
        for readers in [3, 4, 5, 15] {
            let turns = ReadTurns::new(readers, true);
            let mut held = Vec::new();
            while let Ok(turn) = turns.take(CARL, ReadWeight::Heavy, WAIT).await {
                held.push(turn);
            }
            assert!((1..=2).contains(&held.len()));
            assert_eq!(code(&turns, SIGMUND, ReadWeight::Heavy).await, None);
        }
        Ok(())
    }
}
