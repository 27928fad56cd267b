//! Who reads and writes over which of the connections to the database.

use crate::{
    config::Config,
    store::{Connections, Store, Target},
};

/// Most connections that are kept for what sends depend on: one for the writer, the others for a
/// commit that lingers, for tokens, and for whoever connects.
const MOST_RESERVED: u32 = 4;

/// The connections, in two groups: however many slow reads there are, they do not hold up a send.
#[derive(Clone)]
pub(super) struct Stores {
    /// For everything else.
    pub(super) common: Store,
    /// For the writer, and for what a send and a connect wait for.
    pub(super) reserved: Store,
    /// How many sockets read at once what they missed: half of the common ones, so that a crowd that
    /// comes back leaves some to everyone else.
    pub(super) feeds_at_once: usize,
    /// How many tokens are looked up at once: half of the reserved ones.
    pub(super) tokens_at_once: usize,
}

impl Stores {
    /// Opens the database; both groups together are DB_CONNECTIONS.
    pub(super) async fn open(config: &Config) -> Result<Self, String> {
        let (target, all) = (config.target()?, config.database.db_connections);
        let half = |connections: u32| (connections / 2).max(1) as usize;
        let reserved = match target {
            Target::Postgres(_) => (all / 2).clamp(1, MOST_RESERVED),
            Target::Sqlite(_) => 0,
        };
        let common = Store::open(&target, all - reserved).await?;
        Ok(Self {
            reserved: common.reserved(reserved),
            common,
            feeds_at_once: half(all - reserved),
            tokens_at_once: half(if reserved > 0 { reserved } else { all }),
        })
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> Connections {
        let common = self.common.connections();
        if let Store::Sqlite(_) = self.common {
            return common;
        }
        let reserved = self.reserved.connections();
        Connections {
            open: common.open + reserved.open,
            idle: common.idle + reserved.idle,
            most: common.most + reserved.most,
        }
    }

    /// Closes every connection, after whatever is running on it.
    pub(super) async fn close(&self) {
        self.reserved.close().await;
        self.common.close().await;
    }
}
