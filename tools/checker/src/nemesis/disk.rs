//! Faults of the database's disk.

use super::Nemesis;
use tokio::time;

/// The maximum number of free pages on a full disk: some writes succeed in part.
const LEFT: u64 = 12;

impl Nemesis {
    /// Makes the disk full for a while.
    pub(super) async fn fill_disk(&mut self) -> Result<(), String> {
        let pause = self.pause(500, 6000);
        let killed = self.victim()?;
        let left = self.rng.u64(0..LEFT);
        self.faults.full_disks += 1;
        match (&self.volume, &self.disk) {
            (Some(volume), _) => volume.fill(left)?,
            (None, Some(disk)) => {
                // The parts that Postgres writes to: its write-ahead log, its tables, or any file.
                let part = ["pg_wal/", "base/", "/"][self.rng.usize(0..3)];
                let part = format!("{}{part}", self.files());
                let rules = ["write", "allocate"].map(|call| format!("ENOSPC {call} 0 * {part}"));
                disk.set(&rules.join("\n"))?;
            }
            (None, None) => {}
        }
        time::sleep(pause).await;
        if let Some(server) = killed {
            self.servers[server].kill().await?;
        }
        match (&self.volume, &self.disk) {
            (Some(volume), _) => volume.free()?,
            (None, Some(disk)) => disk.set("")?,
            (None, None) => {}
        }
        self.disk_works(killed, "a full disk").await
    }

    /// Makes some calls fail, or all calls for a moment.
    pub(super) async fn fail_disk(&mut self) -> Result<(), String> {
        let pause = self.pause(50, 3000);
        let killed = self.victim()?;
        let error = ["EIO", "ENOSPC"][self.rng.usize(0..2)];
        let call = ["write", "sync"][self.rng.usize(0..2)];
        let skip = self.rng.u32(0..4);
        let count = match self.rng.u32(0..3) {
            0 => "*".to_owned(),
            _ => self.rng.u32(1..4).to_string(),
        };
        self.faults.failed_disks += 1;
        let files = self.files();
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        disk.set(&format!("{error} {call} {skip} {count} {files}"))?;
        time::sleep(pause).await;
        if let Some(server) = killed {
            self.servers[server].kill().await?;
        }
        disk.set("")?;
        let after = format!("{count} times {error} on {call} after {skip}");
        self.disk_works(killed, &after).await
    }

    /// A part of the path that all files of the database have.
    fn files(&self) -> String {
        match &self.postgres {
            Some(postgres) => postgres.data().display().to_string(),
            None => "messaging.db".to_owned(),
        }
    }

    /// Waits until the database recovers. By design, Postgres ends if it cannot write its write-ahead
    /// log, and may have to be started again.
    async fn disk_works(&mut self, killed: Option<usize>, after: &str) -> Result<(), String> {
        if let Some(postgres) = &self.postgres {
            postgres.recover().await?;
        }
        self.revive(killed).await?;
        self.recovers(after).await
    }
}
