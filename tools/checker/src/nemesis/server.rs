//! Faults of the server's process and of its clock.

use super::{Nemesis, Repair};
use crate::violation::{Violation, ViolationKind};
use std::time::Duration;
use tokio::time::{self, Instant};

impl Nemesis {
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.faults.kills += 1;
        let server = self.any_server()?;
        self.servers[server].kill().await?;
        self.servers[server].start().await
    }

    pub(super) async fn stop(&mut self) -> Result<(), String> {
        self.faults.stops += 1;
        let server = self.any_server()?;
        let status = self.servers[server].terminate().await?;
        if !status.is_some_and(|status| status.success()) {
            let how = status.map_or("had to be killed".to_owned(), |status| status.to_string());
            let text = format!("the server did not stop well when told to: {how}");
            self.violations
                .push(Violation::new(ViolationKind::Crash, text));
        }
        self.servers[server].start().await
    }

    pub(super) async fn freeze(&mut self) -> Result<(), String> {
        self.faults.freezes += 1;
        let server = self.any_server()?;
        self.servers[server].freeze(true)?;
        if self.network.is_none() {
            time::sleep(self.pause(200, 7000)).await;
            return self.servers[server].thaw();
        }
        // The other servers go on. One pause in three exceeds 10 s, after which they evict a silent
        // node.
        let pause = match self.rng.u32(0..3) {
            0 => Duration::from_millis(self.rng.u64(11_000..16_000)),
            _ => self.pause(200, 7000),
        };
        let until = Instant::now() + pause;
        self.repairs.push((until, Repair::Thaw(server)));
        Ok(())
    }

    pub(super) fn move_clock(&mut self) -> Result<(), String> {
        self.faults.clock_jumps += 1;
        let server = self.rng.usize(0..self.servers.len());
        // By up to a day, or by up to 10 s.
        let most = [86_400, 10][self.rng.usize(0..2)];
        let seconds = self.rng.i64(-most..most);
        self.servers[server].set_clock(seconds)
    }

    /// Picks a random server and resumes it if it is frozen. Returns its index.
    pub(super) fn any_server(&mut self) -> Result<usize, String> {
        let server = self.rng.usize(0..self.servers.len());
        self.servers[server].thaw()?;
        Ok(server)
    }

    /// Records a server that ended by itself as a violation, and starts it again.
    pub(super) async fn notice_crashes(&mut self) -> Result<(), String> {
        for server in &mut self.servers {
            if let Some(status) = server.ended() {
                let text = format!("a server ended by itself: {status}");
                self.violations
                    .push(Violation::new(ViolationKind::Crash, text));
                server.start().await?;
            }
        }
        Ok(())
    }

    /// Checks that a server recovers without a restart. A server that does not is killed and started
    /// again.
    pub(super) async fn recovers(&mut self, after: &str) -> Result<(), String> {
        self.notice_crashes().await?;
        let server = self.any_server()?;
        let address = self.servers[server].address;
        if let Some(violation) = self.probe.works(address, after).await {
            self.violations.push(violation);
            self.servers[server].kill().await?;
            self.servers[server].start().await?;
        }
        Ok(())
    }
}
