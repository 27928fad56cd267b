//! The kinds of faults, and how often each happened.

use crate::network::LinkFaults;
use clap::ValueEnum;
use serde::Serialize;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultKind {
    /// The server dies and starts again: the worst fault and the quickest, so that it is every other
    /// one
    Kill,
    /// The server is told to stop
    Stop,
    /// The server stands still for a while
    Freeze,
    /// Postgres dies and starts again
    RestartDatabase,
    /// Postgres is away for a while
    StopDatabase,
    /// Postgres stands still for a while
    FreezeDatabase,
    /// Postgres takes no writes for a while
    ReadOnlyDatabase,
    /// Postgres is lost, and its standby takes over
    FailOver,
    /// The disk of the database is full for a while
    FillDisk,
    /// Calls on files of the database fail for a moment
    FailDisk,
    /// NATS is away for a while
    KillNats,
    /// NATS stands still for a while
    FreezeNats,
    /// A server's link is stalled or cut for a while
    BreakLink,
    /// A server's clock jumps
    MoveClock,
}

/// The number of faults of the server and its database, by kind.
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
    /// Postgres took no writes for a while.
    pub read_only: u32,
    /// Postgres died for good, and its standby took its place.
    pub failovers: u32,
    /// The disk of the database was full for a while.
    pub full_disks: u32,
    /// Calls on files of the database failed for a while.
    pub failed_disks: u32,
    /// An older backup was restored.
    pub restores: u32,
    /// A server's clock jumped.
    pub clock_jumps: u32,
    /// The number of faults of the link between several servers, by kind.
    #[serde(flatten)]
    pub link: LinkFaults,
}

impl Faults {
    /// The total number of faults.
    pub fn total(&self) -> u32 {
        self.kills
            + self.stops
            + self.freezes
            + self.database_restarts
            + self.database_stops
            + self.database_freezes
            + self.read_only
            + self.failovers
            + self.full_disks
            + self.failed_disks
            + self.restores
            + self.clock_jumps
            + self.link.total()
    }
}
