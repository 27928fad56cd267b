//! A connection that one task keeps, instead of returning it to the pool after each statement.

use super::{PING_AFTER_IDLE, PostgresConnection, PostgresPool};
use std::time::Instant;

/// A connection of a pool that is kept between statements. A pool pings each connection that is returned to
/// it, which costs a round trip for each statement. The connection is given back for a check if it was idle
/// for long, and if the pool has lost trust in its connections.
pub struct KeptConnection {
    pool: PostgresPool,
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
        Self { pool, kept: None }
    }

    /// Takes the kept connection, or one of the pool.
    ///
    /// # Errors
    /// The error of the pool. Nothing was executed.
    pub async fn take(&mut self) -> Result<TakenConnection<'_>, sqlx::Error> {
        let trust = &self.pool.trust;
        let kept = self.kept.take().filter(|kept| {
            let idle = kept.used.elapsed();
            trust.covers(kept.acquired.elapsed()) && idle < PING_AFTER_IDLE && !trust.doubts(idle)
        });
        let (connection, acquired) = match kept {
            Some(kept) => (kept.connection, kept.acquired),
            None => (self.pool.acquire().await?, Instant::now()),
        };
        Ok(TakenConnection {
            connection,
            acquired,
            slot: &mut self.kept,
        })
    }
}

/// A connection in use. Dropped without `keep`, it returns to the pool, which checks it.
pub struct TakenConnection<'a> {
    connection: PostgresConnection,
    acquired: Instant,
    slot: &'a mut Option<Kept>,
}

impl TakenConnection<'_> {
    /// Returns the connection.
    pub fn get(&mut self) -> &mut PostgresConnection {
        &mut self.connection
    }

    /// Keeps the connection for the next statement. For a connection without a running statement or an open
    /// transaction.
    pub fn keep(self) {
        *self.slot = Some(Kept {
            connection: self.connection,
            acquired: self.acquired,
            used: Instant::now(),
        });
    }
}
