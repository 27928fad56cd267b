//! Whoever breaks things: one fault after another while the clients work.

use crate::{phase::Phase, postgres::Postgres, record::Violation, server::Server};
use serde::Serialize;
use std::time::Duration;
use tokio::{sync::watch, time};

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
    }
}

/// The breaker, with all that it can break.
pub struct Nemesis {
    /// The server.
    pub server: Server,
    /// Its database, where that can be broken.
    pub postgres: Option<Postgres>,
    /// What decides.
    pub rng: fastrand::Rng,
    /// What was done.
    pub faults: Faults,
    /// What went wrong with the server's process itself.
    pub violations: Vec<Violation>,
}

impl Nemesis {
    /// Breaks things while the clients work, then sees to it that everything runs.
    pub async fn run(
        mut self,
        mut phase: watch::Receiver<Phase>,
        calm: bool,
    ) -> Result<Self, String> {
        loop {
            let pause = Duration::from_millis(self.rng.u64(300..3000));
            let over = time::timeout(pause, phase.wait_for(|phase| *phase != Phase::Working));
            if over.await.is_ok() {
                break;
            }
            self.notice_crash();
            if !calm {
                self.fault().await?;
            }
        }
        self.notice_crash();
        self.server.start().await?;
        Ok(self)
    }

    /// A server that ends by itself is a fault of its own.
    fn notice_crash(&mut self) {
        if let Some(status) = self.server.ended() {
            let text = format!("the server ended by itself: {status}");
            self.violations.push(Violation::new("crash", text));
        }
    }

    async fn fault(&mut self) -> Result<(), String> {
        let kinds = if self.postgres.is_some() { 6 } else { 3 };
        match self.rng.u32(0..kinds) {
            0 => self.kill().await,
            1 => self.stop().await,
            2 => self.freeze().await,
            3 => self.restart_database().await,
            4 => self.stop_database().await,
            _ => self.freeze_database().await,
        }
    }

    /// So many milliseconds: long ones are as bad as short ones, but leave less time for others.
    fn pause(&mut self, least: u64, most: u64) -> Duration {
        let (a, b) = (self.rng.u64(least..most), self.rng.u64(least..most));
        let c = self.rng.u64(least..most);
        Duration::from_millis(a.min(b).min(c))
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.faults.kills += 1;
        self.server.kill().await?;
        self.server.start().await
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.faults.stops += 1;
        let status = self.server.terminate().await?;
        if !status.is_some_and(|status| status.success()) {
            let how = status.map_or("had to be killed".to_owned(), |status| status.to_string());
            let text = format!("the server did not stop well when told to: {how}");
            self.violations.push(Violation::new("crash", text));
        }
        self.server.start().await
    }

    async fn freeze(&mut self) -> Result<(), String> {
        self.faults.freezes += 1;
        let pause = self.pause(200, 7000);
        self.server.freeze(true)?;
        time::sleep(pause).await;
        self.server.freeze(false)
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
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        self.faults.database_freezes += 1;
        let frozen = postgres.freeze()?;
        time::sleep(pause).await;
        if kill {
            self.faults.kills += 1;
            self.server.kill().await?;
        }
        postgres.thaw(&frozen);
        if kill {
            self.server.start().await?;
        }
        Ok(())
    }
}
