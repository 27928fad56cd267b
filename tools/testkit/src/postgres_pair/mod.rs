//! Two Postgres servers: a primary, and a synchronous standby that takes over from it. Both are
//! reached through one address that moves with the primary.

mod address;

use address::Address;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    ffi::OsString,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};
use tokio::{process::Command, time};

/// The longest wait for a command or a state of the two servers.
const LIMIT: Duration = Duration::from_secs(60);

/// How a primary is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An orderly stop: the standby has received everything, each client is told.
    Stop,
    /// A crash: nothing is finished, the clients' connections break.
    Crash,
    /// A machine that vanishes from the network: the clients' connections stay open and silent.
    Silence,
}

/// The two servers and the address before them. Dropping it stops both and removes their files.
pub struct PostgresPair {
    folder: PathBuf,
    ports: [u16; 2],
    /// The index of the primary.
    primary: usize,
    /// Whether the other one follows it.
    has_standby: bool,
    address: Address,
    /// Variables that both servers get into their environment.
    environment: Vec<(&'static str, OsString)>,
    keeper: Child,
}

impl PostgresPair {
    /// Starts a primary and its synchronous standby.
    pub async fn start() -> Result<Self, String> {
        Self::start_with(Vec::new()).await
    }

    /// Starts both with more variables in their environment.
    pub async fn start_with(environment: Vec<(&'static str, OsString)>) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("cluster").tempdir();
        let folder = folder
            .map_err(|e| format!("cannot make a folder: {e}"))?
            .keep();
        let control = write_control(&folder)?;
        // Stops the servers and removes their files when the pipe to it closes, however this
        // process ends.
        let keeper = std::process::Command::new(&control)
            .arg("keep")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot run {}: {e}", control.display()))?;
        let ports = [free_port()?, free_port()?];
        let cluster = Self {
            address: Address::new(ports[0]).await?,
            folder,
            ports,
            primary: 0,
            has_standby: false,
            environment,
            keeper,
        };
        cluster
            .control(&["init", "0", &ports[0].to_string()])
            .await?;
        cluster.control(&["start", "0"]).await?;
        let mut cluster = cluster;
        cluster.rejoin().await?;
        Ok(cluster)
    }

    /// The database `postgres` of the present primary, by the address that moves.
    pub fn url(&self) -> String {
        url(self.address.local.port())
    }

    /// The database `postgres` of the present primary, by its own port.
    pub fn primary_url(&self) -> String {
        url(self.ports[self.primary])
    }

    /// The data folders of the primary and of its standby.
    pub fn data(&self) -> [PathBuf; 2] {
        [self.primary, 1 - self.primary].map(|server| self.folder.join(server.to_string()))
    }

    /// Stops the primary at once, without a word to its clients.
    pub async fn stop(&self) -> Result<(), String> {
        let primary = self.primary.to_string();
        self.control(&["stop", &primary, "immediate"]).await
    }

    /// Starts the primary again after a stop.
    pub async fn resume(&self) -> Result<(), String> {
        self.control(&["start", &self.primary.to_string()]).await
    }

    /// Loses the primary, promotes the standby, then moves the address to it. From here on there is
    /// no standby: commits wait for none.
    pub async fn fail_over(&mut self, loss: Loss) -> Result<(), String> {
        if !self.has_standby {
            return Err("there is no standby to fail over to".to_owned());
        }
        let lost = self.primary.to_string();
        match loss {
            Loss::Stop => self.control(&["stop", &lost, "fast"]).await?,
            Loss::Crash => self.control(&["stop", &lost, "immediate"]).await?,
            Loss::Silence => {
                self.address.silence();
                self.control(&["stop", &lost, "immediate"]).await?;
            }
        }
        self.primary = 1 - self.primary;
        self.has_standby = false;
        let promoted = self.primary.to_string();
        self.control(&["promote", &promoted]).await?;
        self.address.move_to(self.ports[self.primary]);
        Ok(())
    }

    /// Makes the server that was lost a synchronous standby of the primary, from a new base backup.
    pub async fn rejoin(&mut self) -> Result<(), String> {
        let standby = 1 - self.primary;
        let (from, to) = (self.ports[self.primary], self.ports[standby]);
        let (name, from, to) = (standby.to_string(), from.to_string(), to.to_string());
        self.control(&["follow", &name, &to, &from]).await?;
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await?;
        self.execute("SELECT pg_reload_conf()").await?;
        let following = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let attached = async {
            while self.number(following).await? == 0 {}
            Ok(())
        };
        let attached = time::timeout(LIMIT, attached).await;
        attached.unwrap_or_else(|_| Err("the standby does not attach".to_owned()))?;
        self.has_standby = true;
        Ok(())
    }

    /// Disconnects the standby from the primary. Commits no longer wait for the standby, so the next
    /// failover loses them.
    pub async fn detach(&self) -> Result<(), String> {
        self.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            .await?;
        self.execute("SELECT pg_reload_conf()").await?;
        let standby = url(self.ports[1 - self.primary]);
        for sql in [
            "ALTER SYSTEM SET primary_conninfo = ''",
            "SELECT pg_reload_conf()",
        ] {
            let work = async {
                let mut db = PgConnection::connect(&standby).await?;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
                db.close().await
            };
            finished(sql, work).await?;
        }
        let following = "SELECT count(*) FROM pg_stat_replication";
        let detached = async {
            while self.number(following).await? > 0 {}
            Ok(())
        };
        let detached = time::timeout(LIMIT, detached).await;
        detached.unwrap_or_else(|_| Err("the standby does not let go".to_owned()))
    }

    /// Makes the database `name` read-only, as an operator does, or writable again. Existing sessions
    /// are ended where it becomes read-only; otherwise they stay as they are.
    pub async fn set_read_only(&self, name: &str, read_only: bool) -> Result<(), String> {
        let value = if read_only { "on" } else { "off" };
        // The session that turns it off is read-only itself.
        let sql = format!(
            "BEGIN READ WRITE; \
             ALTER DATABASE {name} SET default_transaction_read_only = {value}; COMMIT"
        );
        self.execute(&sql).await?;
        if read_only {
            let sql = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            );
            self.execute(&sql).await?;
        }
        Ok(())
    }

    /// Executes statements on the primary, past the address.
    pub async fn execute(&self, sql: &str) -> Result<(), String> {
        let work = async {
            let mut db = PgConnection::connect(&self.primary_url()).await?;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
            db.close().await
        };
        finished(sql, work).await
    }

    /// The one number that a query on the primary gives.
    pub async fn number(&self, sql: &str) -> Result<i64, String> {
        let work = async {
            let mut db = PgConnection::connect(&self.primary_url()).await?;
            let number = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut db)
                .await?;
            db.close().await?;
            Ok(number)
        };
        finished(sql, work).await
    }

    async fn control(&self, words: &[&str]) -> Result<(), String> {
        let mut command = Command::new(self.folder.join("ctl"));
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        let command = command.args(words).envs(environment).stdin(Stdio::null());
        // A server that it starts would keep a pipe open.
        let errors = fs::File::create(self.folder.join("errors"))
            .map_err(|e| format!("cannot make a file: {e}"))?;
        let command = command.stdout(Stdio::null()).stderr(errors);
        let status = time::timeout(LIMIT, command.status()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let errors = fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
                Err(format!("Postgres would not {words:?}: {status}: {errors}"))
            }
            Ok(Err(e)) => Err(format!("cannot control Postgres: {e}")),
            Err(_) => Err(format!("Postgres takes too long to {words:?}")),
        }
    }
}

impl Drop for PostgresPair {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

async fn finished<T>(
    sql: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, String> {
    let result = time::timeout(LIMIT, work).await;
    let result = result.map_err(|_| format!("the primary does not answer {sql}"))?;
    result.map_err(|e| format!("the primary refuses {sql}: {e}"))
}

fn url(port: u16) -> String {
    format!("postgres://tester@127.0.0.1:{port}/postgres")
}

/// A free port below those that the system gives to others, so that a server that was stopped gets
/// the same one again.
fn free_port() -> Result<u16, String> {
    let tried = std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).take(1000);
    let mut free = tried.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().ok_or_else(|| "no port is free".to_owned())
}

/// Writes the script into the folder of the two servers. Returns its path.
fn write_control(folder: &Path) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", folder.display());
    let path = folder.join("ctl");
    // Postgres' user must get through the folder to its data.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let mut file = fs::File::create(&path).map_err(failed)?;
    file.write_all(CONTROL.as_bytes()).map_err(failed)?;
    drop(file);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(path)
}

/// The script that runs the two servers.
const CONTROL: &str = include_str!("control.sh");
