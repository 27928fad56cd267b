//! The command-line options of the checker.

use crate::{disk::Disk, nemesis::FaultKind, violation::ViolationKind};
use clap::Parser;
use std::path::{Path, PathBuf};
use testkit::Store;

/// Injects faults into the server and its database while clients work, then checks that no acknowledged
/// change was lost, doubled or reordered.
///
/// A run on Postgres needs scripts/with-postgres before the command.
#[derive(Clone, Debug, Parser)]
#[command(name = "checker")]
pub struct Options {
    /// The database that the server runs on
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: Store,

    /// The number of servers on the database, linked by NATS. More than one needs Postgres and an
    /// installed nats-server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub nodes: u32,

    /// Start a Postgres primary and its synchronous standby for this run, and fail over between them
    #[arg(long)]
    pub standby: bool,

    /// The time that clients work, in seconds
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,

    /// The number of clients
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub clients: u32,

    /// The number of chats
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub chats: u32,

    /// The number of admins, which sign users up, create chats and manage their members
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub admins: u32,

    /// The number of times that an older backup is restored, at equal distances. By default once, and with
    /// --calm never
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=20))]
    restores: Option<u32>,

    /// Inject these kinds of faults only, such as kill,fill-disk
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<FaultKind>,

    /// End the run at the first check that reports a violation of this kind. The run is then checked
    /// every few seconds, and --seconds is its longest time
    #[arg(long, value_enum, value_name = "KIND")]
    pub stop_at: Option<ViolationKind>,

    /// The seed of all random choices of clients and faults; by default a new one each time
    #[arg(long)]
    pub seed: Option<u64>,

    /// The server's binary; by default messaging-api beside this program
    #[arg(long)]
    pub server: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Keep the temporary folder with the database and the server's log
    #[arg(long)]
    pub keep: bool,

    /// The path of libfaketime.so.1 (on Debian in the package libfaketime). With it, the clocks of several
    /// servers jump
    #[arg(long)]
    pub faketime: Option<PathBuf>,

    /// Inject no faults. Clients still break their own connections
    #[arg(long)]
    pub calm: bool,
}

impl Options {
    /// The number of times a backup is restored.
    pub fn restores(&self) -> u32 {
        self.restores.unwrap_or(u32::from(!self.calm))
    }

    /// The library that makes calls on the database's files fail. `None` with `--calm`, or if the
    /// library cannot be built.
    pub fn disk(&self, folder: &Path) -> Option<Disk> {
        match self.calm {
            true => None,
            false => Disk::new(folder),
        }
    }

    /// The server's binary: the path of the option, else the one beside this program.
    pub fn server(&self) -> Result<PathBuf, String> {
        match &self.server {
            Some(path) => Ok(path.clone()),
            None => testkit::built_server(),
        }
    }
}
