//! The server as a process that can be killed, stopped and frozen.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{self, Instant},
};

/// Time limit for a server to start, with its database.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Time limit for a server to stop after SIGTERM: its own limits add up to 43 s.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A server's binary, its settings, and its process while one runs.
pub struct Server {
    /// The address it listens on, unchanged over restarts.
    pub address: SocketAddr,
    binary: PathBuf,
    folder: PathBuf,
    database_url: String,
    nats_url: Option<String>,
    faketime: Option<PathBuf>,
    /// Environment variables besides its settings.
    pub environment: Vec<(&'static str, OsString)>,
    log: String,
    frozen: bool,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Server {
    /// Returns a server on a free port, not started.
    pub fn new(binary: PathBuf, folder: &Path, database_url: &str) -> Result<Self, String> {
        let port = testkit::free_port().map_err(|e| format!("no free port: {e}"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self {
            address,
            binary,
            folder: folder.to_owned(),
            database_url: database_url.to_owned(),
            nats_url: None,
            faketime: None,
            environment: Vec::new(),
            log: "server.log".to_owned(),
            frozen: false,
            http: reqwest::Client::new(),
            child: None,
        })
    }

    /// Makes it one of several linked servers, with this number.
    pub fn link(&mut self, number: usize, nats_url: String, faketime: Option<PathBuf>) {
        self.nats_url = Some(nats_url);
        self.faketime = faketime;
        self.log = format!("server{number}.log");
    }

    /// Runs one of the binary's commands, with a file as its argument, on the server's database.
    pub async fn command(&self, name: &str, file: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.binary);
        let command = command.arg(name).arg(file).current_dir(&self.folder);
        let command = command.env("DATABASE_URL", &self.database_url);
        let output = command.stdin(Stdio::null()).output().await;
        let output = output.map_err(|e| e.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("{name} ended with {}: {said}", output.status))
            }
        }
    }

    /// Starts the server and waits until it is ready. A process that ends meanwhile is started again,
    /// because its database may be unreachable.
    pub async fn start(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            let ended = match &mut self.child {
                Some(child) => child.try_wait().map_err(|e| e.to_string())?.is_some(),
                None => true,
            };
            if ended {
                self.child = Some(self.spawn()?);
            }
            if self.is_ready().await {
                return Ok(());
            }
            time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the server was not ready within {START_LIMIT:?}"))
    }

    fn spawn(&self) -> Result<Child, String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(&self.log))
            .map_err(|e| format!("cannot write the server's log: {e}"))?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let link = self.nats_url.iter().map(|url| ("NATS_URL", url));
        let mut command = Command::new(&self.binary);
        if let Some(library) = &self.faketime {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock())
                .env("FAKETIME_NO_CACHE", "1")
                // Intervals use a clock that does not jump.
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(link)
            .current_dir(&self.folder)
            .env("HOST", "127.0.0.1")
            .env("PORT", self.address.port().to_string())
            .env("DATABASE_URL", &self.database_url)
            .env("AUTH", "open")
            .env("DEMO_DATA", "false")
            .env("LOG", "warn")
            // Frequent heartbeats, each of which is checked.
            .env("PING_SECONDS", "3")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", self.binary.display()))
    }

    /// Sets the server's clock this many seconds ahead of the correct time, or behind it if negative.
    pub fn set_clock(&self, seconds: i64) -> Result<(), String> {
        std::fs::write(self.clock(), format!("{seconds:+}s")).map_err(|e| e.to_string())
    }

    /// The file that libfaketime reads the server's clock offset from.
    fn clock(&self) -> PathBuf {
        self.folder.join(format!("{}.clock", self.log))
    }

    async fn is_ready(&self) -> bool {
        let asked = self
            .http
            .get(format!("http://{}/health/ready", self.address))
            .timeout(Duration::from_secs(2))
            .send()
            .await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Kills the server (SIGKILL) and waits until its process has ended.
    pub async fn kill(&mut self) -> Result<(), String> {
        self.frozen = false;
        match self.child.take() {
            Some(mut child) => child.kill().await.map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    /// Stops the server (SIGTERM) and waits until it has ended. Returns its exit status, or `None` if
    /// it had to be killed.
    pub async fn terminate(&mut self) -> Result<Option<ExitStatus>, String> {
        self.signal(Signal::TERM)?;
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        match time::timeout(STOP_LIMIT, child.wait()).await {
            Ok(status) => status.map(Some).map_err(|e| e.to_string()),
            Err(_) => {
                child.kill().await.map_err(|e| e.to_string())?;
                Ok(None)
            }
        }
    }

    /// Freezes the process (SIGSTOP) or resumes it (SIGCONT).
    pub fn freeze(&mut self, frozen: bool) -> Result<(), String> {
        self.frozen = frozen;
        self.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Resumes the process if it is frozen.
    pub fn thaw(&mut self) -> Result<(), String> {
        match self.frozen {
            true => self.freeze(false),
            false => Ok(()),
        }
    }

    /// The exit status of a server that ended by itself. `None` if it runs or was stopped.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = self.child.as_ref().and_then(Child::id);
        let pid = id.and_then(|id| Pid::from_raw(id as i32));
        let pid = pid.ok_or("the server is not running")?;
        kill_process(pid, signal).map_err(|e| format!("cannot signal the server: {e}"))
    }
}
