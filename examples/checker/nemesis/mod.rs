//! Whoever breaks things: one fault after another while the clients work.

mod database;
mod disk;
mod kind;
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
    record::Violation,
    server::Server,
    volume::Volume,
};
use std::{path::PathBuf, time::Duration};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// Milliseconds from one fault to the next: enough for clients to come back and do something that can
/// be lost, and as many faults a minute as that allows.
const PAUSE: std::ops::Range<u64> = 100..700;

pub use kind::{Faults, Kind};

/// The breaker, with all that it can break.
pub struct Nemesis {
    /// The servers.
    pub servers: Vec<Server>,
    /// What links them, where they are several.
    pub network: Option<Network>,
    /// Its database, where that can be broken.
    pub postgres: Option<Postgres>,
    /// The file system of the database, where it can be full.
    pub volume: Option<Volume>,
    /// What makes calls on the database's files fail.
    pub disk: Option<Disk>,
    /// What tells whether a server works again.
    pub probe: Probe,
    /// What decides.
    pub rng: fastrand::Rng,
    /// What was done, but to the link.
    pub faults: Faults,
    /// Whether clocks can be moved.
    pub clocks: bool,
    /// The only kinds of faults; all where it is empty.
    pub only: Vec<Kind>,
    /// What is broken while others break, and until when.
    pub mends: Vec<(Instant, Mend)>,
    /// When the next backup is to be made.
    pub plan: Option<Plan>,
    /// The latest backup.
    pub backup: Option<Backup>,
    /// Where backups are kept.
    pub folder: PathBuf,
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
            self.mend(Instant::now())?;
            self.back_up(Instant::now()).await?;
            if !calm {
                self.fault().await?;
            }
        }
        self.notice_crashes().await?;
        let all = self.mends.iter().map(|(at, _)| *at).max();
        self.mend(all.unwrap_or_else(Instant::now))?;
        for server in &mut self.servers {
            server.start().await?;
        }
        // An era shorter than one fault has its backup at its end.
        let due = self.plan.as_ref().map(|plan| plan.due);
        self.back_up(due.unwrap_or_else(Instant::now)).await
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

    async fn fault(&mut self) -> Result<(), String> {
        let (kills, others): (Vec<_>, Vec<_>) =
            (self.possible().into_iter()).partition(|kind| *kind == Kind::Kill);
        let kinds = match self.rng.bool() && !kills.is_empty() || others.is_empty() {
            true => kills,
            false => others,
        };
        let Some(kind) = self.rng.choice(kinds) else {
            return Ok(());
        };
        match kind {
            Kind::Kill => self.kill().await,
            Kind::Stop => self.stop().await,
            Kind::Freeze => self.freeze().await,
            Kind::RestartDatabase => self.restart_database().await,
            Kind::StopDatabase => self.stop_database().await,
            Kind::FreezeDatabase => self.freeze_database().await,
            Kind::ReadOnlyDatabase => self.make_read_only().await,
            Kind::FailOver => self.fail_over().await,
            Kind::FillDisk => self.fill_disk().await,
            Kind::FailDisk => self.fail_disk().await,
            Kind::KillNats => self.kill_nats().await,
            Kind::FreezeNats => self.freeze_nats().await,
            Kind::BreakLink => self.break_link(),
            Kind::MoveClock => self.move_clock(),
        }
    }

    fn possible(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Kill, Kind::Stop, Kind::Freeze];
        if let Some(postgres) = &self.postgres {
            // More often than the others: a new standby takes the longest.
            kinds.extend(
                [Kind::FailOver; 2]
                    .into_iter()
                    .filter(|_| postgres.has_standby()),
            );
            kinds.extend([Kind::RestartDatabase, Kind::StopDatabase]);
            kinds.extend([Kind::FreezeDatabase, Kind::ReadOnlyDatabase]);
        }
        if self.volume.is_some() || self.disk.is_some() && self.postgres.is_some() {
            kinds.push(Kind::FillDisk);
        }
        if self.disk.is_some() {
            kinds.push(Kind::FailDisk);
        }
        if self.network.is_some() {
            kinds.extend([Kind::KillNats, Kind::FreezeNats]);
            // It breaks in four ways.
            kinds.extend([Kind::BreakLink; 4]);
        }
        if self.clocks {
            kinds.push(Kind::MoveClock);
        }
        kinds.retain(|kind| self.only.is_empty() || self.only.contains(kind));
        kinds
    }

    /// So many milliseconds: long ones are as bad as short ones, but leave less time for others.
    fn pause(&mut self, least: u64, most: u64) -> Duration {
        let (a, b) = (self.rng.u64(least..most), self.rng.u64(least..most));
        let c = self.rng.u64(least..most);
        Duration::from_millis(a.min(b).min(c))
    }
}
