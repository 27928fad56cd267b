//! The server's Postgres. It can be restarted, stopped, frozen and made read-only. If it has a standby,
//! it can fail over.

mod process;

use process::{children, postmaster, signal};
use rustix::process::{Pid, Signal};
use std::{env, ffi::OsString, path::PathBuf, process::Stdio, time::Duration};
use testkit::{Loss, PostgresPair, sql};
use tokio::{
    process::Command,
    time::{self, Instant},
};

/// Time limit for Postgres to accept queries after its disk works again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// The time limit of the first checkpoint, which writes what other runs have left.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(120);
/// Time limit of one statement.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// Environment variables of a process.
pub type Environment = Vec<(&'static str, OsString)>;

/// A Postgres that belongs to this run, with the server's database on it.
pub struct Postgres {
    host: Host,
    database: String,
}

enum Host {
    /// One server, started by scripts/with-postgres.
    Single {
        control: PathBuf,
        data: PathBuf,
        url: String,
        environment: Environment,
    },
    /// A primary and a synchronous standby, started by this run.
    Pair(Box<PostgresPair>),
}

/// Creates a database on the server with this URL. Returns the URL of the new database.
pub async fn new_database(server: &str) -> Result<String, String> {
    let made = time::timeout(STATEMENT_LIMIT, sql::create_database(server, "checker")).await;
    let made = made.map_err(|_| "Postgres does not make a database".to_owned())?;
    made.map_err(|e| format!("Postgres refuses to make a database: {e}"))
}

/// The URL in `TEST_POSTGRES_URL`, which scripts/with-postgres sets.
pub fn url() -> Result<String, String> {
    env::var("TEST_POSTGRES_URL").map_err(|_| {
        "TEST_POSTGRES_URL is missing: run this through scripts/with-postgres".to_owned()
    })
}

async fn execute(url: &str, sql: &str) -> Result<(), String> {
    execute_within(url, sql, STATEMENT_LIMIT).await
}

async fn execute_within(url: &str, sql: &str, limit: Duration) -> Result<(), String> {
    let work = sql::execute(url, sql);
    let done = time::timeout(limit, work).await;
    let done = done.map_err(|_| format!("Postgres does not answer {sql}"))?;
    done.map(drop)
        .map_err(|e| format!("Postgres refuses {sql}: {e}"))
}

impl Postgres {
    /// Takes control of the server of scripts/with-postgres and restarts it with these variables, if
    /// there are any. Returns `None` if the environment has a URL but no means of control.
    pub async fn single(
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
        let host = Host::Single {
            control: control.into(),
            environment,
            data: folder,
            url: url()?,
        };
        let postgres = Self::new(host, database_url)?;
        // After a crash Postgres repeats all writes since the last checkpoint: those of a whole test suite, if
        // it ran here before, which can take longer than a restart may.
        execute_within(&postgres.url(), "CHECKPOINT", CHECKPOINT_LIMIT).await?;
        if has_more {
            postgres.restart().await?;
        }
        Ok(Some(postgres))
    }

    /// Starts a primary and a standby of the run's own. Returns them and the URL of the server's
    /// database.
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

    /// The data folder of the primary.
    pub fn data(&self) -> PathBuf {
        match &self.host {
            Host::Single { data, .. } => data.clone(),
            Host::Pair(cluster) => {
                let [primary, _] = cluster.data();
                primary
            }
        }
    }

    pub fn has_standby(&self) -> bool {
        matches!(self.host, Host::Pair(_))
    }

    /// The URL of a database other than the server's.
    fn url(&self) -> String {
        match &self.host {
            Host::Single { url, .. } => url.clone(),
            Host::Pair(cluster) => cluster.primary_url(),
        }
    }

    pub async fn restart(&self) -> Result<(), String> {
        match &self.host {
            Host::Single { .. } => self.control(&["restart", "-m", "immediate"]).await,
            Host::Pair(cluster) => {
                cluster.stop().await?;
                cluster.resume().await
            }
        }
    }

    pub async fn stop(&self) -> Result<(), String> {
        match &self.host {
            Host::Single { .. } => self.control(&["stop", "-m", "immediate"]).await,
            Host::Pair(cluster) => cluster.stop().await,
        }
    }

    pub async fn start(&self) -> Result<(), String> {
        match &self.host {
            Host::Single { .. } => self.control(&["start"]).await,
            Host::Pair(cluster) => cluster.resume().await,
        }
    }

    /// Loses the primary: 0 is a crash, 1 is silence, 2 is a stop. The standby, which has every
    /// acknowledged commit, is promoted. There is no standby until `rejoin`.
    pub async fn fail_over(&mut self, how: usize) -> Result<(), String> {
        let Host::Pair(cluster) = &mut self.host else {
            return Ok(());
        };
        // In-doubt commits of an earlier crash must reach the standby before the primary shows them.
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

    /// Makes the lost primary a standby of the current primary.
    pub async fn rejoin(&mut self) -> Result<(), String> {
        match &mut self.host {
            Host::Single { .. } => Ok(()),
            Host::Pair(cluster) => cluster.rejoin().await,
        }
    }

    /// Makes the server's database read-only or writable for new sessions. If it becomes read-only, the
    /// existing sessions are ended.
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

    /// Drops the server's database and creates an empty one. No server may be running.
    pub async fn empty(&self) -> Result<(), String> {
        let database = &self.database;
        let drop = format!("DROP DATABASE {database} WITH (FORCE)");
        execute(&self.url(), &drop).await?;
        execute(&self.url(), &format!("CREATE DATABASE {database}")).await
    }

    /// Waits until Postgres answers, and starts it if it has ended.
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
                    // It may be starting already.
                    let _ = self.start().await;
                }
                Err(_) => time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Runs pg_ctl with these arguments.
    async fn control(&self, words: &[&str]) -> Result<(), String> {
        let Host::Single {
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

    /// Freezes all processes (SIGSTOP) of the primary, or of the standby if `standby` is true and there
    /// is one. Returns their ids for `thaw`.
    pub fn freeze(&self, standby: bool) -> Result<Vec<Pid>, String> {
        let data = match &self.host {
            Host::Pair(cluster) if standby => {
                let [_, standby] = cluster.data();
                standby
            }
            _ => self.data(),
        };
        let mut pids = vec![postmaster(&data)?];
        // The postmaster is frozen first, so that it starts no process meanwhile.
        signal(&pids, Signal::STOP);
        let children = children(pids[0]);
        signal(&children, Signal::STOP);
        pids.extend(children);
        Ok(pids)
    }

    /// Resumes these processes (SIGCONT).
    pub fn thaw(&self, pids: &[Pid]) {
        signal(pids, Signal::CONT);
    }

    fn postmaster(&self) -> Result<Pid, String> {
        postmaster(&self.data())
    }
}
