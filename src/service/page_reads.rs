//! The limits of reads of pages: memory for the answer, and a turn to read. They keep one caller from taking the
//! memory or the connections that others need.

use crate::{
    error::Error,
    rate_limit::{LimitKey, MemoryBudget, ReadTurn, ReadTurns, ReadWeight, Reservation},
};
use std::time::Duration;

/// The longest wait of a request for memory, and for a turn.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// The turns and the memory of all page reads. A clone shares them.
#[derive(Clone)]
pub struct PageReads {
    turns: ReadTurns,
    memory: MemoryBudget,
}

/// A read under way.
pub struct PageRead {
    _turn: ReadTurn,
    memory: Reservation,
}

impl PageReads {
    /// Returns the limits.
    #[must_use]
    pub fn new(turns: ReadTurns, memory: MemoryBudget) -> Self {
        Self { turns, memory }
    }

    /// Begins a read. `bytes` is the most memory that the page takes.
    ///
    /// # Errors
    /// `unavailable` if the memory or a turn is not free in time.
    pub async fn begin(
        &self,
        caller: LimitKey,
        weight: ReadWeight,
        bytes: usize,
    ) -> Result<PageRead, Error> {
        // The memory first: a turn is not held while the caller reads its other answers.
        let memory = self.reserve(caller, bytes).await?;
        let turn = self.turns.take(caller, weight, WAIT_LIMIT).await?;
        Ok(PageRead {
            _turn: turn,
            memory,
        })
    }

    /// Reserves memory for an answer that was read without a turn.
    ///
    /// # Errors
    /// `unavailable` if the memory is not free in time.
    pub async fn reserve(&self, caller: LimitKey, bytes: usize) -> Result<Reservation, Error> {
        self.memory.reserve(caller, bytes, WAIT_LIMIT).await
    }
}

impl PageRead {
    /// Ends the read. Returns the memory of the page, which is held until the answer is sent.
    #[must_use]
    pub fn end(self) -> Reservation {
        self.memory
    }

    /// Ends the read of a page that takes `bytes`.
    #[must_use]
    pub fn end_with(mut self, bytes: usize) -> Reservation {
        self.memory.shrink_to(bytes);
        self.memory
    }
}
