//! The nemesis: it injects one fault after another while the clients work.

mod database;
mod disk;
mod faults;
mod link;
mod restore;
mod server;

use crate::{
    backup::{Backup, Plan},
    disk::Disk,
    network::{LinkFaults, Network},
    phase::Phase,
    postgres::Postgres,
    probe::Probe,
    server::Server,
    violation::Violation,
    volume::Volume,
};
use std::{path::PathBuf, time::Duration};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// Milliseconds between two faults: long enough for clients to reconnect and make changes that can be
/// lost, and short enough for many faults a minute.
const PAUSE: std::ops::Range<u64> = 100..700;

pub use faults::{FaultKind, Faults};

/// The nemesis with everything that it can break.
pub struct Nemesis {
    /// The servers.
    pub servers: Vec<Server>,
    /// NATS and its proxies. `None` with a single server.
    pub network: Option<Network>,
    /// The server's Postgres. `None` on SQLite, or if the run does not control it.
    pub postgres: Option<Postgres>,
    /// The file system of the database. `None` if it cannot be made full.
    pub volume: Option<Volume>,
    /// The library that makes calls on the database's files fail. `None` if it is not in use.
    pub disk: Option<Disk>,
    /// The probe that checks if a server has recovered.
    pub probe: Probe,
    /// The random generator of all choices.
    pub rng: fastrand::Rng,
    /// The number of faults by kind, without those of the link.
    pub faults: Faults,
    /// True if the servers' clocks can be moved.
    pub clocks: bool,
    /// The kinds of faults to inject. Empty means all kinds.
    pub only: Vec<FaultKind>,
    /// Faults that last while other faults are injected, and the time at which each ends.
    pub repairs: Vec<(Instant, Repair)>,
    /// The next backup. `None` if none is planned.
    pub plan: Option<Plan>,
    /// The latest backup.
    pub backup: Option<Backup>,
    /// The folder of the backups.
    pub folder: PathBuf,
    /// Violations by the server's process itself, such as a crash.
    pub violations: Vec<Violation>,
}

/// The repair of a fault that lasts.
#[derive(Clone, Copy, Debug)]
pub enum Repair {
    /// Resumes this frozen server.
    Thaw(usize),
    /// Restores this server's link.
    Link(usize),
}

impl Nemesis {
    /// The number of faults by kind, with those of the link.
    pub fn all_faults(&self) -> Faults {
        let network = self.network.as_ref();
        Faults {
            link: network.map_or_else(LinkFaults::default, |network| network.faults.clone()),
            ..self.faults.clone()
        }
    }

    /// Injects faults while the clients work, then repairs everything and starts every server.
    pub async fn run(
        &mut self,
        mut phase: watch::Receiver<Phase>,
        calm: bool,
    ) -> Result<(), String> {
        loop {
            let pause = Duration::from_millis(self.rng.u64(PAUSE));
            let over = time::timeout(pause, phase.wait_for(|phase| *phase != Phase::Working));
            if over.await.is_ok() {
                break;
            }
            self.notice_crashes().await?;
            self.repair(Instant::now())?;
            self.back_up(Instant::now()).await?;
            if !calm {
                self.fault().await?;
            }
        }
        self.notice_crashes().await?;
        let all = self.repairs.iter().map(|(at, _)| *at).max();
        self.repair(all.unwrap_or_else(Instant::now))?;
        for server in &mut self.servers {
            server.start().await?;
        }
        // In a round that ends before its backup is due, the backup is made at the end.
        let due = self.plan.as_ref().map(|plan| plan.due);
        self.back_up(due.unwrap_or_else(Instant::now)).await
    }

    /// Makes the repairs that are due at this time.
    fn repair(&mut self, by: Instant) -> Result<(), String> {
        for (_, repair) in self.repairs.extract_if(.., |(at, _)| *at <= by) {
            match (repair, &self.network) {
                (Repair::Thaw(server), _) => self.servers[server].thaw()?,
                (Repair::Link(server), Some(network)) => network.mend_link(server),
                (Repair::Link(_), None) => {}
            }
        }
        Ok(())
    }

    async fn fault(&mut self) -> Result<(), String> {
        let (kills, others): (Vec<_>, Vec<_>) =
            (self.possible().into_iter()).partition(|kind| *kind == FaultKind::Kill);
        let kinds = match self.rng.bool() && !kills.is_empty() || others.is_empty() {
            true => kills,
            false => others,
        };
        let Some(kind) = self.rng.choice(kinds) else {
            return Ok(());
        };
        match kind {
            FaultKind::Kill => self.kill().await,
            FaultKind::Stop => self.stop().await,
            FaultKind::Freeze => self.freeze().await,
            FaultKind::RestartDatabase => self.restart_database().await,
            FaultKind::StopDatabase => self.stop_database().await,
            FaultKind::FreezeDatabase => self.freeze_database().await,
            FaultKind::ReadOnlyDatabase => self.make_read_only().await,
            FaultKind::FailOver => self.fail_over().await,
            FaultKind::FillDisk => self.fill_disk().await,
            FaultKind::FailDisk => self.fail_disk().await,
            FaultKind::KillNats => self.kill_nats().await,
            FaultKind::FreezeNats => self.freeze_nats().await,
            FaultKind::BreakLink => self.break_link(),
            FaultKind::MoveClock => self.move_clock(),
        }
    }

    fn possible(&self) -> Vec<FaultKind> {
        let mut kinds = vec![FaultKind::Kill, FaultKind::Stop, FaultKind::Freeze];
        if let Some(postgres) = &self.postgres {
            // Two entries make failovers likelier: replacing the standby takes longest.
            kinds.extend(
                [FaultKind::FailOver; 2]
                    .into_iter()
                    .filter(|_| postgres.has_standby()),
            );
            kinds.extend([FaultKind::RestartDatabase, FaultKind::StopDatabase]);
            kinds.extend([FaultKind::FreezeDatabase, FaultKind::ReadOnlyDatabase]);
        }
        if self.volume.is_some() || self.disk.is_some() && self.postgres.is_some() {
            kinds.push(FaultKind::FillDisk);
        }
        if self.disk.is_some() {
            kinds.push(FaultKind::FailDisk);
        }
        if self.network.is_some() {
            kinds.extend([FaultKind::KillNats, FaultKind::FreezeNats]);
            // One entry for each of the four ways to break a link.
            kinds.extend([FaultKind::BreakLink; 4]);
        }
        if self.clocks {
            kinds.push(FaultKind::MoveClock);
        }
        kinds.retain(|kind| self.only.is_empty() || self.only.contains(kind));
        kinds
    }

    /// A random pause, in milliseconds. Short pauses are likelier: long ones are equally harmful, but
    /// leave less time for other faults.
    fn pause(&mut self, least: u64, most: u64) -> Duration {
        let (a, b) = (self.rng.u64(least..most), self.rng.u64(least..most));
        let c = self.rng.u64(least..most);
        Duration::from_millis(a.min(b).min(c))
    }
}
