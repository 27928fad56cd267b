//! Whoever breaks things: one fault after another while the clients work.

use crate::{
    network::{LinkFaults, Network},
    phase::Phase,
    postgres::Postgres,
    record::Violation,
    server::Server,
};
use serde::Serialize;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// Milliseconds from one fault to the next: enough for clients to come back and do something that can
/// be lost, and as many faults a minute as that allows.
const PAUSE: std::ops::Range<u64> = 100..700;

/// What was done to the server and its database.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Faults {
    /// SIGKILL, and started again.
    pub kills: u32,
    /// SIGTERM, and started again.
    pub stops: u32,
    /// SIGSTOP for a while.
    pub freezes: u32,
    /// Postgres was restarted at once.
    pub database_restarts: u32,
    /// Postgres was stopped for a while.
    pub database_stops: u32,
    /// Postgres was frozen for a while.
    pub database_freezes: u32,
    /// A server's clock jumped.
    pub clock_jumps: u32,
    /// What was done to the link between several servers.
    #[serde(flatten)]
    pub link: LinkFaults,
}

impl Faults {
    /// How many there were.
    pub fn total(&self) -> u32 {
        self.kills
            + self.stops
            + self.freezes
            + self.database_restarts
            + self.database_stops
            + self.database_freezes
            + self.clock_jumps
            + self.link.total()
    }
}

/// The breaker, with all that it can break.
pub struct Nemesis {
    /// The servers.
    pub servers: Vec<Server>,
    /// What links them, where they are several.
    pub network: Option<Network>,
    /// Its database, where that can be broken.
    pub postgres: Option<Postgres>,
    /// What decides.
    pub rng: fastrand::Rng,
    /// What was done, but to the link.
    pub faults: Faults,
    /// Whether clocks can be moved.
    pub clocks: bool,
    /// What is broken while others break, and until when.
    pub mends: Vec<(Instant, Mend)>,
    /// What went wrong with the server's process itself.
    pub violations: Vec<Violation>,
}

/// What is to be put right later.
#[derive(Clone, Copy, Debug)]
pub enum Mend {
    /// This server goes on.
    Thaw(usize),
    /// This server's link works again.
    Link(usize),
}

impl Nemesis {
    /// What was done.
    pub fn all_faults(&self) -> Faults {
        let network = self.network.as_ref();
        Faults {
            link: network.map_or_else(LinkFaults::default, |network| network.faults.clone()),
            ..self.faults.clone()
        }
    }

    /// Breaks things while the clients work, then sees to it that everything runs.
    pub async fn run(
        mut self,
        mut phase: watch::Receiver<Phase>,
        calm: bool,
    ) -> Result<Self, String> {
        loop {
            let pause = Duration::from_millis(self.rng.u64(PAUSE));
            let over = time::timeout(pause, phase.wait_for(|phase| *phase != Phase::Working));
            if over.await.is_ok() {
                break;
            }
            self.notice_crashes();
            self.mend(Instant::now())?;
            if !calm {
                self.fault().await?;
            }
        }
        self.notice_crashes();
        let all = self.mends.iter().map(|(at, _)| *at).max();
        self.mend(all.unwrap_or_else(Instant::now))?;
        for server in &mut self.servers {
            server.start().await?;
        }
        Ok(self)
    }

    /// Puts right what was to be put right by then.
    fn mend(&mut self, by: Instant) -> Result<(), String> {
        for (_, mend) in self.mends.extract_if(.., |(at, _)| *at <= by) {
            match (mend, &self.network) {
                (Mend::Thaw(server), _) => self.servers[server].thaw()?,
                (Mend::Link(server), Some(network)) => network.mend(server),
                (Mend::Link(_), None) => {}
            }
        }
        Ok(())
    }

    /// A server that ends by itself is a fault of its own.
    fn notice_crashes(&mut self) {
        for server in &mut self.servers {
            if let Some(status) = server.ended() {
                let text = format!("a server ended by itself: {status}");
                self.violations.push(Violation::new("crash", text));
            }
        }
    }

    async fn fault(&mut self) -> Result<(), String> {
        // The worst fault and the quickest, so that it may well be every other one.
        if self.rng.bool() {
            return self.kill().await;
        }
        let kinds = match (&self.postgres, &self.network) {
            (None, _) => 3,
            (Some(_), None) => 6,
            (Some(_), Some(_)) if self.clocks => 13,
            (Some(_), Some(_)) => 12,
        };
        match self.rng.u32(1..kinds) {
            1 => self.stop().await,
            2 => self.freeze().await,
            3 => self.restart_database().await,
            4 => self.stop_database().await,
            5 => self.freeze_database().await,
            6 => self.kill_nats().await,
            7 => self.freeze_nats().await,
            12 => self.move_clock(),
            how => self.break_link(how - 8),
        }
    }

    /// A server, and one that runs.
    fn any(&mut self) -> Result<usize, String> {
        let server = self.rng.usize(0..self.servers.len());
        self.servers[server].thaw()?;
        Ok(server)
    }

    fn break_link(&mut self, how: u32) -> Result<(), String> {
        let server = self.rng.usize(0..self.servers.len());
        let until = Instant::now() + self.pause(500, 20_000);
        if let Some(network) = &mut self.network {
            network.break_link(server, how);
        }
        self.mends.push((until, Mend::Link(server)));
        Ok(())
    }

    fn move_clock(&mut self) -> Result<(), String> {
        self.faults.clock_jumps += 1;
        let server = self.rng.usize(0..self.servers.len());
        // By up to a day, or by little.
        let most = [86_400, 10][self.rng.usize(0..2)];
        let seconds = self.rng.i64(-most..most);
        self.servers[server].set_clock(seconds)
    }

    async fn kill_nats(&mut self) -> Result<(), String> {
        let pause = self.pause(0, 5000);
        match &mut self.network {
            Some(network) => network.kill(pause).await,
            None => Ok(()),
        }
    }

    async fn freeze_nats(&mut self) -> Result<(), String> {
        let pause = self.pause(500, 9000);
        if let Some(network) = &mut self.network {
            network.freeze(pause).await;
        }
        Ok(())
    }

    /// So many milliseconds: long ones are as bad as short ones, but leave less time for others.
    fn pause(&mut self, least: u64, most: u64) -> Duration {
        let (a, b) = (self.rng.u64(least..most), self.rng.u64(least..most));
        let c = self.rng.u64(least..most);
        Duration::from_millis(a.min(b).min(c))
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.faults.kills += 1;
        let server = self.any()?;
        self.servers[server].kill().await?;
        self.servers[server].start().await
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.faults.stops += 1;
        let server = self.any()?;
        let status = self.servers[server].terminate().await?;
        if !status.is_some_and(|status| status.success()) {
            let how = status.map_or("had to be killed".to_owned(), |status| status.to_string());
            let text = format!("the server did not stop well when told to: {how}");
            self.violations.push(Violation::new("crash", text));
        }
        self.servers[server].start().await
    }

    async fn freeze(&mut self) -> Result<(), String> {
        self.faults.freezes += 1;
        let server = self.any()?;
        self.servers[server].freeze(true)?;
        if self.network.is_none() {
            time::sleep(self.pause(200, 7000)).await;
            return self.servers[server].thaw();
        }
        // Meanwhile the others go on; now and then for longer than they believe that it lives.
        let pause = match self.rng.u32(0..3) {
            0 => Duration::from_millis(self.rng.u64(11_000..16_000)),
            _ => self.pause(200, 7000),
        };
        let until = Instant::now() + pause;
        self.mends.push((until, Mend::Thaw(server)));
        Ok(())
    }

    async fn restart_database(&mut self) -> Result<(), String> {
        self.faults.database_restarts += 1;
        match &self.postgres {
            Some(postgres) => postgres.control(&["restart", "-m", "immediate"]).await,
            None => Ok(()),
        }
    }

    async fn stop_database(&mut self) -> Result<(), String> {
        let pause = self.pause(1000, 4000);
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        self.faults.database_stops += 1;
        postgres.control(&["stop", "-m", "immediate"]).await?;
        time::sleep(pause).await;
        postgres.control(&["start"]).await
    }

    async fn freeze_database(&mut self) -> Result<(), String> {
        let pause = self.pause(1000, 6000);
        // Now and then the server dies beside a database that does not answer.
        let kill = self.rng.u32(0..4) == 0;
        let server = self.any()?;
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        self.faults.database_freezes += 1;
        let frozen = postgres.freeze()?;
        time::sleep(pause).await;
        if kill {
            self.faults.kills += 1;
            self.servers[server].kill().await?;
        }
        postgres.thaw(&frozen);
        if kill {
            self.servers[server].start().await?;
        }
        Ok(())
    }
}
