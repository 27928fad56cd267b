//! The command-line options of the checker.

use crate::{disk::Disk, nemesis::Kind};
use clap::{Parser, ValueEnum};
use std::path::{Path, PathBuf};

/// Which database the server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// The embedded file.
    Sqlite,
    /// A new database on the server that TEST_POSTGRES_URL names.
    Postgres,
}

/// Breaks the server in every way while clients use it, then proves from what they saw that no
/// acknowledged change was lost, doubled or reordered.
///
/// On Postgres, run it through scripts/with-postgres.
#[derive(Clone, Debug, Parser)]
#[command(name = "checker")]
pub struct Options {
    /// The database that the server runs on
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: StoreKind,

    /// How many servers share the database, linked by NATS; more than one need Postgres, and
    /// nats-server installed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub nodes: u32,

    /// Postgres as a primary and a synchronous standby of the run's own, which takes over now and then
    #[arg(long)]
    pub standby: bool,

    /// How long to use and break it, in seconds
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,

    /// How many clients
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub clients: u32,

    /// How many chats
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub chats: u32,

    /// How many admins, which sign users up, run chats and decide who belongs to them
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub admins: u32,

    /// How often a backup is restored that is older than what clients have seen; the seconds are
    /// shared out between the restores. By default once, and with --calm never
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=20))]
    restores: Option<u32>,

    /// No kinds of faults but these, such as kill,fill-disk
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Kind>,

    /// What decides every choice of clients and faults; by default a new one each time
    #[arg(long)]
    pub seed: Option<u64>,

    /// The server's binary; by default the one beside this program
    #[arg(long)]
    pub server: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Keep the temporary folder with the database and the server's log
    #[arg(long)]
    pub keep: bool,

    /// Let the clocks of several servers jump too: the path of libfaketime.so.1 (on Debian the
    /// package libfaketime)
    #[arg(long)]
    pub faketime: Option<PathBuf>,

    /// No faults but those of the clients: no kills, stops or freezes
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
