//! Postgres servers: one for all tests of a process, and one of a test's own that may be stopped.

use super::{Database, patiently};
use std::{
    io::{self, BufRead},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};
use tokio::task::spawn_blocking;

/// The URL of a server with the right to create databases: the one that `TEST_POSTGRES_URL` names, or
/// one that is started for this process and ends with it.
///
/// # Panics
/// If no Postgres is installed.
pub(crate) async fn server_url() -> String {
    static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::spawn().expect(MISSING));
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => {
            let started = spawn_blocking(|| SHARED.url.clone());
            started.await.expect(MISSING)
        }
    }
}

const MISSING: &str = "no Postgres could be started: install it (on Debian the package postgresql)";

/// A running Postgres. Its keeper stops it when the pipe to the keeper closes, however this process
/// ends.
pub struct Postgres {
    url: String,
    control: String,
    _keeper: Child,
}

impl Postgres {
    /// Starts one for a test that may stop it.
    ///
    /// # Panics
    /// If no Postgres is installed.
    pub async fn start() -> Self {
        let starting = spawn_blocking(Self::spawn);
        let started = patiently("a Postgres", starting).await.expect(MISSING);
        started.expect(MISSING)
    }

    fn spawn() -> io::Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/with-postgres");
        let mut keeper = Command::new(script)
            .args([
                "sh",
                "-c",
                "echo $TEST_POSTGRES_URL $TEST_POSTGRES_CTL; cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = keeper.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        io::BufReader::new(output).read_line(&mut line)?;
        let (url, control) = line
            .trim_end()
            .split_once(' ')
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self {
            url: url.to_owned(),
            control: control.to_owned(),
            _keeper: keeper,
        })
    }

    /// Its database, empty at first.
    pub fn database(&self) -> Database {
        Database {
            url: self.url.clone(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Hands words to pg_ctl.
    pub async fn control(&self, words: &[&str]) {
        // Its own standard output would stay open in the server that it starts.
        let mut command = tokio::process::Command::new(&self.control);
        let command = command
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = patiently("pg_ctl", command.status()).await;
        assert!(status.expect("pg_ctl").success(), "{words:?}");
    }
}
