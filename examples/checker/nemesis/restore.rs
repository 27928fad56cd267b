//! An older backup, made while everyone works, and restored while they are away.

use super::Nemesis;
use crate::{
    backup::{Backup, Plan},
    record::ChatId,
    rest::Rest,
};
use std::{fs, time::Duration};
use tokio::time::Instant;

impl Nemesis {
    /// Sees to it that a backup is made, at some moment of an era that takes so long.
    pub fn plan_backup(&mut self, length: Duration, rest: &Rest, chats: &[ChatId]) {
        let part = 0.2 + 0.5 * self.rng.f64();
        self.plan = Some(Plan {
            due: Instant::now() + length.mul_f64(part),
            rest: rest.clone(),
            chats: chats.to_vec(),
        });
    }

    /// Makes the backup when its time has come.
    pub(super) async fn back_up(&mut self, now: Instant) -> Result<(), String> {
        let Some(plan) = self.plan.take_if(|plan| plan.due <= now) else {
            return Ok(());
        };
        let heads = plan.heads().await;
        let file = self.folder.join("backup.jsonl");
        self.servers[0].command("export", &file).await?;
        self.backup = Some(Backup { file, heads });
        Ok(())
    }

    /// Stops every server, restores the backup into an empty database, and starts them again.
    pub async fn restore(&mut self) -> Result<Backup, String> {
        self.faults.restores += 1;
        let backup = self.backup.take().ok_or("no backup was made")?;
        for server in &mut self.servers {
            server.terminate().await?;
        }
        match &self.postgres {
            Some(postgres) => postgres.empty().await?,
            None => self.servers[0].forget_file()?,
        }
        self.servers[0].command("import", &backup.file).await?;
        let _ = fs::remove_file(&backup.file);
        for server in &mut self.servers {
            server.start().await?;
        }
        Ok(backup)
    }
}
