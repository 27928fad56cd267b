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
        // A primary commits nothing while its synchronous standby is frozen.
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

    /// Makes Postgres read-only for a while. Sessions that begin meanwhile stay read-only.
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

    /// Loses the primary and promotes its standby. The lost primary rejoins as the new standby.
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

    /// Picks a server to kill during a database fault, in one case of four.
    pub(super) fn victim(&mut self) -> Result<Option<usize>, String> {
        let server = self.any_server()?;
        Ok((self.rng.u32(0..4) == 0).then_some(server))
    }

    /// Starts the killed server again.
    pub(super) async fn revive(&mut self, killed: Option<usize>) -> Result<(), String> {
        if let Some(server) = killed {
            self.faults.kills += 1;
            self.servers[server].start().await?;
        }
        Ok(())
    }
}
