//! A connection that one task keeps, instead of returning it to the pool after each statement.

use super::{PING_AFTER_IDLE, PostgresConnection, PostgresPool};
use std::time::{Duration, Instant};

/// The longest time for which a connection is kept. The pool then checks it, and replaces it if it is old.
const MAX_KEPT: Duration = Duration::from_secs(30 * 60);
/// The largest pool from which no connection is kept: the other users of the pool would wait for it.
const TOO_SMALL: u32 = 2;

/// A connection of a pool that is kept between statements. A pool pings each connection that is returned to
/// it, which costs a round trip for each statement. The connection is given back for a check if it was idle or
/// kept for long, and if the pool has lost trust in its connections. A small pool gets it back at once.
pub struct KeptConnection {
    pool: PostgresPool,
    /// True if the pool is large enough to do without a connection.
    keeps: bool,
    kept: Option<Kept>,
}

struct Kept {
    connection: PostgresConnection,
    /// The time at which the pool handed out the connection.
    acquired: Instant,
    /// The time of the last successful statement.
    used: Instant,
}

impl KeptConnection {
    /// Keeps no connection yet.
    #[must_use]
    pub fn new(pool: PostgresPool) -> Self {
        let keeps = pool.max_connections() > TOO_SMALL;
        let kept = None;
        Self { pool, keeps, kept }
    }

    /// Takes the kept connection, or one of the pool.
    ///
    /// # Errors
    /// The error of the pool. Nothing was executed.
    pub async fn take(&mut self) -> Result<TakenConnection<'_>, sqlx::Error> {
        let trust = &self.pool.trust;
        let kept = self.kept.take().filter(|kept| {
            let (age, idle) = (kept.acquired.elapsed(), kept.used.elapsed());
            let is_fresh = age < MAX_KEPT && idle < PING_AFTER_IDLE;
            is_fresh && trust.covers(age) && !trust.doubts(idle)
        });
        let (connection, acquired) = match kept {
            Some(kept) => (kept.connection, kept.acquired),
            None => {
                // The time before the pool checks the connection: trust may be lost during the check.
                let acquired = Instant::now();
                (self.pool.acquire().await?, acquired)
            }
        };
        Ok(TakenConnection {
            connection,
            acquired,
            slot: self.keeps.then_some(&mut self.kept),
        })
    }
}

/// A connection in use. Dropped without `keep`, it returns to the pool, which checks it.
pub struct TakenConnection<'a> {
    connection: PostgresConnection,
    acquired: Instant,
    /// The place of the connection between statements. `None` if the pool needs the connection back.
    slot: Option<&'a mut Option<Kept>>,
}

impl TakenConnection<'_> {
    /// Returns the connection.
    pub fn get(&mut self) -> &mut PostgresConnection {
        &mut self.connection
    }

    /// Keeps the connection for the next statement, if the pool can do without it. For a connection without a
    /// running statement or an open transaction.
    pub fn keep(self) {
        if let Some(slot) = self.slot {
            *slot = Some(Kept {
                connection: self.connection,
                acquired: self.acquired,
                used: Instant::now(),
            });
        }
    }
}
