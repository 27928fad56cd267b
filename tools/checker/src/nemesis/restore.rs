//! Backups that are made while clients work, and restored while no client is connected.

use super::Nemesis;
use crate::{
    backup::{Backup, Plan, copy_files},
    record::ChatId,
    rest::Rest,
};
use std::{fs, time::Duration};
use tokio::time::Instant;

impl Nemesis {
    /// Schedules a backup at a random time of an era with this length.
    pub fn plan_backup(&mut self, length: Duration, rest: &Rest, chats: &[ChatId]) {
        let part = 0.2 + 0.5 * self.rng.f64();
        self.plan = Some(Plan {
            due: Instant::now() + length.mul_f64(part),
            rest: rest.clone(),
            chats: chats.to_vec(),
        });
    }

    /// Makes the backup if it is due.
    pub(super) async fn back_up(&mut self, now: Instant) -> Result<(), String> {
        let Some(plan) = self.plan.take_if(|plan| plan.due <= now) else {
            return Ok(());
        };
        let heads = plan.heads().await;
        let is_copy = self.postgres.is_none() && self.servers.len() == 1 && self.rng.bool();
        let path = self.folder.join("backup");
        match is_copy {
            false => self.servers[0].command("export", &path).await?,
            true => {
                // The files may be copied only while no process has them open.
                self.servers[0].terminate().await?;
                copy_files(&self.folder.join("data"), &path)?;
                self.servers[0].start().await?;
            }
        }
        self.backup = Some(Backup {
            path,
            is_copy,
            heads,
        });
        Ok(())
    }

    /// Stops every server, restores the backup into an empty database, and starts them again.
    pub async fn restore(&mut self) -> Result<Backup, String> {
        self.faults.restores += 1;
        let backup = self.backup.take().ok_or("no backup was made")?;
        for server in &mut self.servers {
            server.terminate().await?;
        }
        let data = self.folder.join("data");
        let removed = match (&self.postgres, backup.is_copy) {
            (None, true) => {
                copy_files(&backup.path, &data)?;
                fs::remove_dir_all(&backup.path)
            }
            (None, false) => {
                let nothing = self.folder.join("nothing");
                copy_files(&nothing, &data)?;
                self.servers[0].command("import", &backup.path).await?;
                fs::remove_file(&backup.path)
            }
            (Some(postgres), _) => {
                postgres.empty().await?;
                self.servers[0].command("import", &backup.path).await?;
                fs::remove_file(&backup.path)
            }
        };
        removed.map_err(|e| format!("cannot remove the backup: {e}"))?;
        for server in &mut self.servers {
            server.start().await?;
        }
        Ok(backup)
    }
}
