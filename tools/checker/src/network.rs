//! The link between several servers: NATS, and a proxy before it for each server, so that one server's
//! link can be broken without affecting other servers.

use crate::nats::Nats;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::{Proxy, Way};
use tokio::time;

/// The number of faults of the link, by kind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkFaults {
    /// NATS: SIGKILL, and started again after a while.
    pub nats_kills: u32,
    /// NATS: SIGSTOP for a while.
    pub nats_freezes: u32,
    /// A server was not heard, or heard nothing, for a while.
    pub one_way: u32,
    /// No data passed in either direction for a while.
    pub both_ways: u32,
    /// Connections were cut, and refused for a while.
    pub cuts: u32,
}

impl LinkFaults {
    /// The total number of faults.
    pub fn total(&self) -> u32 {
        self.nats_kills + self.nats_freezes + self.one_way + self.both_ways + self.cuts
    }
}

/// NATS, and the proxies before it.
pub struct Network {
    nats: Nats,
    proxies: Vec<Proxy>,
    folder: PathBuf,
    /// The number of faults, by kind.
    pub faults: LinkFaults,
}

impl Network {
    /// Starts NATS, and a proxy for each of this many servers.
    pub async fn new(servers: u32, folder: &Path) -> Result<Self, String> {
        let nats = Nats::start(folder)?;
        let mut proxies = Vec::new();
        for _ in 0..servers {
            let proxy = Proxy::to(nats.port).await;
            proxies.push(proxy.map_err(|e| format!("no free port: {e}"))?);
        }
        Ok(Self {
            nats,
            proxies,
            folder: folder.to_owned(),
            faults: LinkFaults::default(),
        })
    }

    /// The NATS_URL of a server.
    pub fn url(&self, server: usize) -> String {
        format!("nats://{}", self.proxies[server].address)
    }

    /// Breaks a server's link in one of four ways.
    pub fn break_link(&mut self, server: usize, how: u32) {
        let proxy = &self.proxies[server];
        match how {
            0 => proxy.stall(Way::There),
            1 => proxy.stall(Way::Back),
            2 => {
                proxy.stall(Way::There);
                proxy.stall(Way::Back);
            }
            _ => proxy.cut(),
        }
        let count = match how {
            0 | 1 => &mut self.faults.one_way,
            2 => &mut self.faults.both_ways,
            _ => &mut self.faults.cuts,
        };
        *count += 1;
    }

    /// Restores a server's link.
    pub fn mend_link(&self, server: usize) {
        self.proxies[server].mend();
    }

    /// Kills NATS for a while.
    pub async fn kill(&mut self, pause: Duration) -> Result<(), String> {
        self.faults.nats_kills += 1;
        self.nats.kill().await?;
        time::sleep(pause).await;
        self.nats.restart(&self.folder)
    }

    /// Freezes NATS for a while.
    pub async fn freeze(&mut self, pause: Duration) {
        self.faults.nats_freezes += 1;
        self.nats.freeze(true);
        time::sleep(pause).await;
        self.nats.freeze(false);
    }
}
