//! Who reads and writes over which of the connections to the database.

use super::{Connections, Database, Target};
use std::time::Duration;

/// Most connections that are kept for what sends depend on: one for the writer, the others for a
/// commit that lingers, for tokens, and for whoever connects.
const MOST_RESERVED: u32 = 4;

/// The connections, in groups: however many slow reads there are, they do not hold up a send.
#[derive(Clone)]
pub(crate) struct Pools {
    /// For everything else.
    pub(crate) general: Database,
    /// For the writer, and for what a send and a connect wait for.
    pub(crate) priority: Database,
    /// For readiness, which waits for none of the others and holds none of them up; none where there
    /// are too few.
    health: Option<Database>,
    /// How many sockets read at once what they missed: half of the common ones, rounded up, so that a crowd that
    /// comes back leaves some to everyone else.
    pub(crate) feeds_at_once: usize,
    /// How many tokens are looked up at once: half of the reserved ones.
    pub(crate) tokens_at_once: usize,
}

impl Pools {
    /// Opens the database; all groups together are DB_CONNECTIONS.
    ///
    /// # Errors
    /// A sentence, as from `Database::open`.
    pub(crate) async fn open(target: &Target, all: u32, wait: Duration) -> Result<Self, String> {
        let (priority, health) = match target {
            Target::Postgres(_) => ((all / 2).clamp(1, MOST_RESERVED), u32::from(all > 2)),
            Target::Sqlite(_) => (0, 0),
        };
        let rest = all - priority - health;
        let tokens = if priority > 0 { priority } else { all };
        let general = Database::open(target, rest, wait).await?;
        Ok(Self {
            priority: general.priority(priority),
            health: (health > 0).then(|| general.priority(health)),
            general,
            feeds_at_once: rest.div_ceil(2) as usize,
            tokens_at_once: (tokens / 2).max(1) as usize,
        })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> Connections {
        self.groups().iter().map(|group| group.connections()).sum()
    }

    /// The groups that have connections of their own.
    fn groups(&self) -> Vec<&Database> {
        let mut groups = vec![&self.general];
        if let Database::Postgres(_) = self.general {
            groups.push(&self.priority);
            groups.extend(&self.health);
        }
        groups
    }

    /// What readiness writes to.
    pub(crate) fn health(&self) -> Database {
        self.health.as_ref().unwrap_or(&self.general).clone()
    }

    /// Closes every connection, after whatever is running on it.
    pub(crate) async fn close(&self) {
        for group in self.groups().into_iter().rev() {
            group.close().await;
        }
    }
}
