//! Who reads and writes over which of the connections to the database.

use super::{Connections, Store, Target};
use std::time::Duration;

/// Most connections that are kept for what sends depend on: one for the writer, the others for a
/// commit that lingers, for tokens, and for whoever connects.
const MOST_RESERVED: u32 = 4;

/// The connections, in groups: however many slow reads there are, they do not hold up a send.
#[derive(Clone)]
pub(crate) struct Stores {
    /// For everything else.
    pub(crate) common: Store,
    /// For the writer, and for what a send and a connect wait for.
    pub(crate) reserved: Store,
    /// For readiness, which waits for none of the others and holds none of them up; none where there
    /// are too few.
    health: Option<Store>,
    /// How many sockets read at once what they missed: half of the common ones, rounded up, so that a crowd that
    /// comes back leaves some to everyone else.
    pub(crate) feeds_at_once: usize,
    /// How many tokens are looked up at once: half of the reserved ones.
    pub(crate) tokens_at_once: usize,
}

impl Stores {
    /// Opens the database; all groups together are DB_CONNECTIONS.
    ///
    /// # Errors
    /// A sentence, as from `Store::open`.
    pub(crate) async fn open(target: &Target, all: u32, wait: Duration) -> Result<Self, String> {
        let (reserved, health) = match target {
            Target::Postgres(_) => ((all / 2).clamp(1, MOST_RESERVED), u32::from(all > 2)),
            Target::Sqlite(_) => (0, 0),
        };
        let rest = all - reserved - health;
        let tokens = if reserved > 0 { reserved } else { all };
        let common = Store::open(target, rest, wait).await?;
        Ok(Self {
            reserved: common.reserved(reserved),
            health: (health > 0).then(|| common.reserved(health)),
            common,
            feeds_at_once: rest.div_ceil(2) as usize,
            tokens_at_once: (tokens / 2).max(1) as usize,
        })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> Connections {
        self.groups().iter().map(|group| group.connections()).sum()
    }

    /// The groups that have connections of their own.
    fn groups(&self) -> Vec<&Store> {
        let mut groups = vec![&self.common];
        if let Store::Postgres(_) = self.common {
            groups.push(&self.reserved);
            groups.extend(&self.health);
        }
        groups
    }

    /// What readiness writes to.
    pub(crate) fn health(&self) -> Store {
        self.health.as_ref().unwrap_or(&self.common).clone()
    }

    /// Closes every connection, after whatever is running on it.
    pub(crate) async fn close(&self) {
        for group in self.groups().into_iter().rev() {
            group.close().await;
        }
    }
}
