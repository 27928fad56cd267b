//! The Postgres beneath the server, which can be restarted, stopped, frozen, made read-only and, where
//! it has a standby, lost.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use testkit::{Loss, PostgresPair, sql};
use tokio::{
    process::Command,
    time::{self, Instant},
};

/// How long Postgres may take to work again after its disk does.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// How long one statement may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// What a program gets into its environment.
pub type Environment = Vec<(&'static str, OsString)>;

/// A Postgres that belongs to this run, with the server's database on it.
pub struct Postgres {
    host: Host,
    database: String,
}

enum Host {
    /// One server, of scripts/with-postgres.
    Alone {
        control: PathBuf,
        data: PathBuf,
        url: String,
        environment: Environment,
    },
    /// A primary and a synchronous standby, of this run.
    Pair(Box<PostgresPair>),
}

/// Makes a database on the server of this URL, and gives the URL of the new one.
pub async fn new_database(server: &str) -> Result<String, String> {
    let made = time::timeout(STATEMENT_LIMIT, sql::create_database(server, "checker")).await;
    let made = made.map_err(|_| "Postgres does not make a database".to_owned())?;
    made.map_err(|e| format!("Postgres refuses to make a database: {e}"))
}

/// The server that scripts/with-postgres started, or that somebody names.
pub fn url() -> Result<String, String> {
    env::var("TEST_POSTGRES_URL").map_err(|_| {
        "TEST_POSTGRES_URL is missing: run this through scripts/with-postgres".to_owned()
    })
}

async fn execute(url: &str, sql: &str) -> Result<(), String> {
    let work = sql::execute(url, sql);
    let done = time::timeout(STATEMENT_LIMIT, work).await;
    let done = done.map_err(|_| format!("Postgres does not answer {sql}"))?;
    done.map(drop)
        .map_err(|e| format!("Postgres refuses {sql}: {e}"))
}

impl Postgres {
    /// The server that the environment gives control of, restarted with these variables; none where
    /// it only names one.
    pub async fn alone(
        database_url: &str,
        environment: Environment,
    ) -> Result<Option<Self>, String> {
        let (Some(control), Some(folder)) = (
            env::var_os("TEST_POSTGRES_CTL"),
            env::var_os("TEST_POSTGRES_DATA"),
        ) else {
            return Ok(None);
        };
        let folder = PathBuf::from(folder);
        let has_more = !environment.is_empty();
        let host = Host::Alone {
            control: control.into(),
            environment,
            data: folder,
            url: url()?,
        };
        let postgres = Self::new(host, database_url)?;
        if has_more {
            postgres.restart().await?;
        }
        Ok(Some(postgres))
    }

    /// A primary and a standby of the run's own, and the URL of the server's database on them.
    pub async fn pair(environment: Environment) -> Result<(Self, String), String> {
        let cluster = PostgresPair::start_with(environment).await?;
        let url = new_database(&cluster.url()).await?;
        Ok((Self::new(Host::Pair(Box::new(cluster)), &url)?, url))
    }

    fn new(host: Host, database_url: &str) -> Result<Self, String> {
        let (_, database) = (database_url.rsplit_once('/')).ok_or("the URL names no database")?;
        let database = database.to_owned();
        Ok(Self { host, database })
    }

    /// Where the primary has its data.
    pub fn data(&self) -> PathBuf {
        match &self.host {
            Host::Alone { data, .. } => data.clone(),
            Host::Pair(cluster) => {
                let [primary, _] = cluster.data();
                primary
            }
        }
    }

    pub fn has_standby(&self) -> bool {
        matches!(self.host, Host::Pair(_))
    }

    /// A database that is not the server's.
    fn url(&self) -> String {
        match &self.host {
            Host::Alone { url, .. } => url.clone(),
            Host::Pair(cluster) => cluster.primary_url(),
        }
    }

    pub async fn restart(&self) -> Result<(), String> {
        match &self.host {
            Host::Alone { .. } => self.control(&["restart", "-m", "immediate"]).await,
            Host::Pair(cluster) => {
                cluster.stop().await?;
                cluster.resume().await
            }
        }
    }

    pub async fn stop(&self) -> Result<(), String> {
        match &self.host {
            Host::Alone { .. } => self.control(&["stop", "-m", "immediate"]).await,
            Host::Pair(cluster) => cluster.stop().await,
        }
    }

    pub async fn start(&self) -> Result<(), String> {
        match &self.host {
            Host::Alone { .. } => self.control(&["start"]).await,
            Host::Pair(cluster) => cluster.resume().await,
        }
    }

    /// Loses the primary in one of the ways in which machines are lost; its standby, which has all
    /// that was acknowledged, takes its place. From then on it has none, until `rejoin`.
    pub async fn fail_over(&mut self, how: usize) -> Result<(), String> {
        let Host::Pair(cluster) = &mut self.host else {
            return Ok(());
        };
        // What a crash of the primary left in doubt becomes visible before the standby has it.
        let caught_up = "SELECT count(*) FROM pg_stat_replication \
                         WHERE sync_state = 'sync' AND flush_lsn >= pg_current_wal_flush_lsn()";
        let until = Instant::now() + RECOVERY_LIMIT;
        while cluster.number(caught_up).await? == 0 {
            if Instant::now() > until {
                return Err("the standby does not catch up".to_owned());
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        cluster
            .fail_over([Loss::Crash, Loss::Silence, Loss::Stop][how])
            .await
    }

    /// Makes the primary that was lost a standby of the present one.
    pub async fn rejoin(&mut self) -> Result<(), String> {
        match &mut self.host {
            Host::Alone { .. } => Ok(()),
            Host::Pair(cluster) => cluster.rejoin().await,
        }
    }

    /// Makes the server's database take no writes, or again, for sessions that begin from now on; the
    /// present ones end with the first.
    pub async fn set_read_only(&self, read_only: bool) -> Result<(), String> {
        let database = &self.database;
        let alter =
            format!("ALTER DATABASE {database} SET default_transaction_read_only = {read_only}");
        execute(&self.url(), &alter).await?;
        if read_only {
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = '{database}'"
            );
            execute(&self.url(), &end).await?;
        }
        Ok(())
    }

    /// Empties the server's database, which nobody uses.
    pub async fn empty(&self) -> Result<(), String> {
        let database = &self.database;
        let drop = format!("DROP DATABASE {database} WITH (FORCE)");
        execute(&self.url(), &drop).await?;
        execute(&self.url(), &format!("CREATE DATABASE {database}")).await
    }

    /// Waits until it answers, and starts it where it has ended.
    pub async fn recover(&self) -> Result<(), String> {
        let until = Instant::now() + RECOVERY_LIMIT;
        loop {
            let answer = execute(&self.url(), "SELECT 1").await;
            match answer {
                Ok(()) => return Ok(()),
                Err(e) if Instant::now() > until => {
                    return Err(format!("Postgres does not recover: {e}"));
                }
                Err(_) if self.postmaster().is_err() => {
                    // It may be on its way already.
                    let _ = self.start().await;
                }
                Err(_) => time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Hands words to pg_ctl.
    async fn control(&self, words: &[&str]) -> Result<(), String> {
        let Host::Alone {
            control,
            environment,
            ..
        } = &self.host
        else {
            return Err("a pair is controlled as one".to_owned());
        };
        let status = Command::new(control)
            .args(words)
            .envs(environment.iter().map(|(name, value)| (name, value)))
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

    /// Stops the processes of a server in their tracks, of the standby where that is asked for and
    /// there is one; gives them, for `thaw`.
    pub fn freeze(&self, standby: bool) -> Result<Vec<Pid>, String> {
        let data = match &self.host {
            Host::Pair(cluster) if standby => {
                let [_, standby] = cluster.data();
                standby
            }
            _ => self.data(),
        };
        let mut pids = vec![postmaster(&data)?];
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
        postmaster(&self.data())
    }
}

/// The process that has this folder of data.
fn postmaster(data: &Path) -> Result<Pid, String> {
    let text = fs::read_to_string(data.join("postmaster.pid"))
        .map_err(|e| format!("cannot read Postgres' pid: {e}"))?;
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let pid = pid.and_then(Pid::from_raw);
    // One that died of its disk may have left the file behind.
    pid.filter(|pid| rustix::process::test_kill_process(*pid).is_ok())
        .ok_or_else(|| "Postgres has no process".to_owned())
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
