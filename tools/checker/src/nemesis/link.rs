//! Faults of the link between several servers.

use super::{Nemesis, Repair};
use tokio::time::Instant;

impl Nemesis {
    pub(super) fn break_link(&mut self) -> Result<(), String> {
        let how = self.rng.u32(0..4);
        let server = self.rng.usize(0..self.servers.len());
        let until = Instant::now() + self.pause(500, 20_000);
        if let Some(network) = &mut self.network {
            network.break_link(server, how);
        }
        self.repairs.push((until, Repair::Link(server)));
        Ok(())
    }

    pub(super) async fn kill_nats(&mut self) -> Result<(), String> {
        let pause = self.pause(0, 5000);
        match &mut self.network {
            Some(network) => network.kill(pause).await,
            None => Ok(()),
        }
    }

    pub(super) async fn freeze_nats(&mut self) -> Result<(), String> {
        let pause = self.pause(500, 9000);
        if let Some(network) = &mut self.network {
            network.freeze(pause).await;
        }
        Ok(())
    }
}
