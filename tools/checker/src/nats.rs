//! The NATS server that links several servers. It can be killed and frozen.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use testkit::{free_port, nats_server};
use tokio::process::{Child, Command};

/// A nats-server that belongs to this run.
pub struct Nats {
    /// The port it listens on, unchanged over restarts.
    pub port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one on a free port.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let port = free_port().map_err(|e| format!("no free port: {e}"))?;
        let mut nats = Self { port, child: None };
        nats.restart(folder)?;
        Ok(nats)
    }

    /// Starts NATS again, without waiting until it answers.
    pub fn restart(&mut self, folder: &Path) -> Result<(), String> {
        let mut command = Command::from(nats_server(self.port));
        let spawned = command.current_dir(folder).kill_on_drop(true).spawn();
        self.child = Some(spawned.map_err(|e| format!("cannot start nats-server: {e}"))?);
        Ok(())
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), String> {
        match self.child.take() {
            Some(mut child) => child.kill().await.map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    /// Freezes the process (SIGSTOP) or resumes it (SIGCONT).
    pub fn freeze(&self, frozen: bool) {
        let id = self.child.as_ref().and_then(Child::id);
        if let Some(pid) = id.and_then(|id| Pid::from_raw(id as i32)) {
            // A process that has ended needs no signal.
            let _ = kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT });
        }
    }
}
