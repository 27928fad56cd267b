//! A Postgres of a test's own, which it may stop.

use super::{Database, patiently};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A Postgres that goes with the test: its keeper ends with the pipe to it.
pub struct Postgres {
    url: String,
    control: String,
    _keeper: Child,
}

impl Postgres {
    /// Starts one.
    pub async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/with-postgres");
        let mut keeper = Command::new(script)
            .args([
                "sh",
                "-c",
                "echo $TEST_POSTGRES_URL $TEST_POSTGRES_CTL; cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/with-postgres");
        let mut said = BufReader::new(keeper.stdout.take().expect("its words")).lines();
        let line = patiently("a Postgres", said.next_line()).await;
        let line = line.expect("its words").expect("its words");
        let (url, control) = line.split_once(' ').expect("a URL and a command");
        Self {
            url: url.to_owned(),
            control: control.to_owned(),
            _keeper: keeper,
        }
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
        let mut command = Command::new(&self.control);
        let command = command
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = patiently("pg_ctl", command.status()).await;
        assert!(status.expect("pg_ctl").success(), "{words:?}");
    }
}
