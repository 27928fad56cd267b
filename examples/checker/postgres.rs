//! The Postgres beneath the server, which can be restarted, stopped and frozen.

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use std::{env, fs, path::PathBuf, process::Stdio};
use tokio::process::Command;

/// A Postgres server that belongs to this run.
pub struct Postgres {
    control: PathBuf,
    data: PathBuf,
}

/// Makes a database on the server that TEST_POSTGRES_URL names, and gives its URL.
pub async fn new_database() -> Result<String, String> {
    let server = env::var("TEST_POSTGRES_URL")
        .map_err(|_| "TEST_POSTGRES_URL is missing: run this through scripts/with-postgres")?;
    let trouble = |e: sqlx::Error| format!("cannot make a database at TEST_POSTGRES_URL: {e}");
    let name = format!("checker_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&server).await.map_err(trouble)?;
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .map_err(trouble)?;
    connection.close().await.map_err(trouble)?;
    let (base, _) = server
        .rsplit_once('/')
        .ok_or("TEST_POSTGRES_URL names no database")?;
    Ok(format!("{base}/{name}"))
}

impl Postgres {
    /// The server that the environment gives control of; none where it only names one.
    pub fn from_environment() -> Option<Self> {
        Some(Self {
            control: env::var_os("TEST_POSTGRES_CTL")?.into(),
            data: env::var_os("TEST_POSTGRES_DATA")?.into(),
        })
    }

    /// Hands words to pg_ctl.
    pub async fn control(&self, words: &[&str]) -> Result<(), String> {
        let status = Command::new(&self.control)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .map_err(|e| format!("cannot control Postgres: {e}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("Postgres would not {words:?}: {status}")),
        }
    }

    /// Stops its processes in their tracks; gives them, for `thaw`.
    pub fn freeze(&self) -> Result<Vec<Pid>, String> {
        let mut pids = vec![self.postmaster()?];
        // The postmaster first, so that it starts no other meanwhile.
        signal(&pids, Signal::STOP);
        let children = children(pids[0]);
        signal(&children, Signal::STOP);
        pids.extend(children);
        Ok(pids)
    }

    /// Lets them go on.
    pub fn thaw(&self, pids: &[Pid]) {
        signal(pids, Signal::CONT);
    }

    fn postmaster(&self) -> Result<Pid, String> {
        let text = fs::read_to_string(self.data.join("postmaster.pid"))
            .map_err(|e| format!("cannot read Postgres' pid: {e}"))?;
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        pid.and_then(Pid::from_raw)
            .ok_or_else(|| "Postgres has no pid".to_owned())
    }
}

fn signal(pids: &[Pid], signal: Signal) {
    for &pid in pids {
        // One that is gone needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// The processes whose parent this is.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name before it is in parentheses and may hold anything.
            let (_, rest) = stat.rsplit_once(')')?;
            let ppid: i32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            (ppid == parent.as_raw_nonzero().get()).then_some(pid)
        })
        .filter_map(Pid::from_raw)
        .collect()
}
