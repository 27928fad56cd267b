//! Faults of Postgres.

use super::Nemesis;
use tokio::time;

impl Nemesis {
    pub(super) async fn restart_database(&mut self) -> Result<(), String> {
        self.faults.database_restarts += 1;
        if let Some(postgres) = &self.postgres {
            postgres.restart().await?;
        }
        self.recovers("a restart of Postgres").await
    }

    pub(super) async fn stop_database(&mut self) -> Result<(), String> {
        let pause = self.pause(1000, 4000);
        self.faults.database_stops += 1;
        if let Some(postgres) = &self.postgres {
            postgres.stop().await?;
            time::sleep(pause).await;
            postgres.start().await?;
        }
        self.recovers("a stop of Postgres").await
    }

    pub(super) async fn freeze_database(&mut self) -> Result<(), String> {
        let pause = self.pause(1000, 6000);
        let killed = self.victim()?;
        // Without its standby a primary commits nothing.
        let standby = self.rng.bool();
        self.faults.database_freezes += 1;
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        let frozen = postgres.freeze(standby)?;
        time::sleep(pause).await;
        if let Some(server) = killed {
            self.servers[server].kill().await?;
        }
        postgres.thaw(&frozen);
        self.revive(killed).await?;
        self.recovers("a freeze of Postgres").await
    }

    /// Postgres refuses to write for a while. Sessions that began meanwhile stay as they are.
    pub(super) async fn make_read_only(&mut self) -> Result<(), String> {
        let pause = self.pause(500, 5000);
        let killed = self.victim()?;
        self.faults.read_only += 1;
        let Some(postgres) = &self.postgres else {
            return Ok(());
        };
        postgres.set_read_only(true).await?;
        time::sleep(pause).await;
        if let Some(server) = killed {
            self.servers[server].kill().await?;
        }
        postgres.set_read_only(false).await?;
        self.revive(killed).await?;
        self.recovers("a read-only Postgres").await
    }

    /// The primary is lost, and its standby takes its place; a new one follows.
    pub(super) async fn fail_over(&mut self) -> Result<(), String> {
        let how = self.rng.usize(0..3);
        let pause = self.pause(0, 3000);
        self.faults.failovers += 1;
        if let Some(postgres) = &mut self.postgres {
            postgres.fail_over(how).await?;
        }
        self.recovers("a failover").await?;
        time::sleep(pause).await;
        if let Some(postgres) = &mut self.postgres {
            postgres.rejoin().await?;
        }
        Ok(())
    }

    /// Now and then a server dies beside a database that does not work: which one.
    pub(super) fn victim(&mut self) -> Result<Option<usize>, String> {
        let server = self.any()?;
        Ok((self.rng.u32(0..4) == 0).then_some(server))
    }

    /// Starts the one again that was killed.
    pub(super) async fn revive(&mut self, killed: Option<usize>) -> Result<(), String> {
        if let Some(server) = killed {
            self.faults.kills += 1;
            self.servers[server].start().await?;
        }
        Ok(())
    }
}
