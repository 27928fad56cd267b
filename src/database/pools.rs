//! Divides the connections to the database into pools, so that slow reads do not delay sends.

use super::{
    Connections, Database, Target,
    sqlite::{MAX_READERS, PRIORITY_READERS},
};
use std::time::Duration;

/// The maximum size of the priority pool on Postgres: one connection for the writer, and three for slow
/// commits, for token lookups and for clients that connect.
const MAX_PRIORITY_CONNECTIONS: u32 = 4;

/// The connection pools of a server. Slow reads use the general pool and cannot delay a send.
#[derive(Clone)]
pub(crate) struct Pools {
    /// The pool of all work that has no pool of its own.
    pub(crate) general: Database,
    /// The pool of the writer, and of the reads that a send or a connect waits for.
    pub(crate) priority: Database,
    /// The pool of the readiness check, which neither waits for other work nor delays it. `None` on SQLite,
    /// and with fewer than three connections in total.
    health: Option<Database>,
    /// The number of reading connections of the general pool, at least 1.
    pub(crate) readers: usize,
    /// The number of sockets that may replay missed messages at once: half of the readers, rounded up. A
    /// crowd of reconnecting clients leaves the other half to other requests.
    pub(crate) feeds_at_once: usize,
    /// The number of concurrent token lookups, at least 1: half of the priority pool, or two on SQLite.
    pub(crate) tokens_at_once: usize,
}

impl Pools {
    /// Opens the database. On Postgres, all pools in total have `total` connections (DB_CONNECTIONS).
    ///
    /// # Errors
    /// A sentence for the operator: the database is unreachable, in use, unfit, or too new.
    pub(crate) async fn open(target: &Target, total: u32, wait: Duration) -> Result<Self, String> {
        let (priority, health) = match target {
            Target::Postgres(_) => (
                (total / 2).clamp(1, MAX_PRIORITY_CONNECTIONS),
                u32::from(total > 2),
            ),
            Target::Sqlite(_) => (0, 0),
        };
        let rest = total - priority - health;
        let (readers, tokens) = match target {
            Target::Postgres(_) => (rest, priority / 2),
            Target::Sqlite(_) => (rest.min(MAX_READERS), PRIORITY_READERS - 1),
        };
        let general = Database::open(target, rest, wait).await?;
        Ok(Self {
            priority: general.priority(priority),
            health: (health > 0).then(|| general.priority(health)),
            general,
            readers: readers as usize,
            feeds_at_once: readers.div_ceil(2) as usize,
            tokens_at_once: tokens.max(1) as usize,
        })
    }

    /// Returns the number of connections of all pools.
    pub(crate) fn connections(&self) -> Connections {
        self.groups().iter().map(|group| group.connections()).sum()
    }

    /// Returns the pools that are counted and closed. On SQLite the general pool stands for all.
    fn groups(&self) -> Vec<&Database> {
        let mut groups = vec![&self.general];
        if let Database::Postgres(_) = self.general {
            groups.push(&self.priority);
            groups.extend(&self.health);
        }
        groups
    }

    /// Returns the pool of the readiness check. Without its own pool it uses the general pool.
    pub(crate) fn health(&self) -> Database {
        self.health.as_ref().unwrap_or(&self.general).clone()
    }

    /// Closes every connection after the statement or transaction that runs on it.
    pub(crate) async fn close(&self) {
        for group in self.groups().into_iter().rev() {
            group.close().await;
        }
    }
}
