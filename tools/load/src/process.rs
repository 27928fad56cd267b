//! A server under load, in its own process: this project's server, or the reference server.

use super::{database::Database, http::Http, procfs};
use std::{
    fs::File,
    io,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use testkit::{built_server, free_port, nats_server};

/// Time limit for a server to listen, and then to answer.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The interval at which a starting server is polled.
const ASK: Duration = Duration::from_millis(10);

/// A running server. Dropping it kills it.
pub struct Process {
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    child: Child,
}

impl Process {
    /// Starts this project's server on a database and waits until it answers. Its warnings and errors
    /// go to a file beside the database.
    pub async fn server(database: &Database) -> Result<Self, String> {
        Self::start(database, &[]).await
    }

    /// Starts this project's server, linked to other nodes by the NATS at this URL if there is one.
    pub async fn linked(database: &Database, nats: Option<&str>) -> Result<Self, String> {
        let settings = nats.map(|url| ("NATS_URL", url));
        Self::start(database, settings.as_slice()).await
    }

    /// Starts this project's server with these settings besides those of every scenario, which they precede.
    pub async fn start(database: &Database, settings: &[(&str, &str)]) -> Result<Self, String> {
        let server = built_server()?;
        let folder = database.folder.path();
        let log = || File::create(folder.join("log"));
        let start = |port: u16| -> io::Result<Child> {
            Command::new(&server)
                .env_clear()
                .current_dir(folder)
                .envs([("LOG", "warn"), ("AUTH", "open"), ("DEMO_DATA", "false")])
                .env("DATABASE_URL", &database.url)
                .envs(settings.iter().copied())
                .env("PORT", port.to_string())
                .stdin(Stdio::null())
                .stdout(log()?)
                .stderr(Stdio::inherit())
                .spawn()
        };
        let mut process = Self::listening(start).await?;
        // A new server listens before it has created its tables, and answers afterwards.
        let answer = tokio::time::timeout(START_LIMIT, process.must_answer()).await;
        answer.map_err(|_| "the server listens and does not answer".to_owned())??;
        Ok(process)
    }

    /// Starts the reference server and waits until it listens.
    pub async fn reference() -> Result<Self, String> {
        let start = |port: u16| {
            Command::new(std::env::current_exe()?)
                .args(["--reference", &port.to_string()])
                .stdin(Stdio::null())
                .spawn()
        };
        Self::listening(start).await
    }

    /// Starts a nats-server.
    pub async fn nats() -> Result<Self, String> {
        Self::listening(|port| nats_server(port).spawn()).await
    }

    /// Waits until the server is linked, if `linked`.
    pub async fn until_linked(&self, linked: bool, limit: Duration) -> Result<(), String> {
        let state: &[u8] = if linked { b"\"up\"" } else { b"\"none\"" };
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(mut http) = Http::open(self.port).await
                && let Ok(body) = http.get("/health/ready").await
                && body.windows(state.len()).any(|part| part == state)
            {
                return Ok(());
            }
            tokio::time::sleep(ASK).await;
        }
        Err("the servers are not linked".to_owned())
    }

    async fn listening(start: impl Fn(u16) -> io::Result<Child>) -> Result<Self, String> {
        let port = free_port().map_err(|e| format!("no free port: {e}"))?;
        let child = start(port).map_err(|e| format!("cannot start a server: {e}"))?;
        let mut process = Self { port, child };
        let deadline = Instant::now() + START_LIMIT;
        while Http::open(port).await.is_err() {
            process.must_run()?;
            if Instant::now() > deadline {
                return Err("a server does not listen".to_owned());
            }
            tokio::time::sleep(ASK).await;
        }
        Ok(process)
    }

    /// Checks that the process has not ended.
    pub fn must_run(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("a server ended by itself: {status}")),
            Err(e) => Err(format!("a server cannot be waited for: {e}")),
        }
    }

    /// Checks that the server runs and answers.
    pub async fn must_answer(&mut self) -> Result<(), String> {
        self.must_run()?;
        let unwell = |e: io::Error| format!("the server does not answer: {e}");
        let mut http = Http::open(self.port).await.map_err(unwell)?;
        http.get("/health/live").await.map(drop).map_err(unwell)
    }

    /// CPU seconds that the process has used.
    pub fn cpu(&self) -> f64 {
        procfs::cpu(self.child.id())
    }

    /// Resident memory of the process, in bytes.
    pub fn resident(&self) -> f64 {
        procfs::resident(self.child.id())
    }

    /// The peak of the resident memory since `forget_peak`, in bytes.
    pub fn peak(&self) -> f64 {
        procfs::peak(self.child.id())
    }

    /// Begins another peak of the resident memory.
    pub fn forget_peak(&self) -> Result<(), String> {
        let forgotten = procfs::forget_peak(self.child.id());
        forgotten.map_err(|e| format!("the peak of the memory cannot be measured: {e}"))
    }

    /// The number of files and sockets that the process has open.
    pub fn open_files(&self) -> usize {
        procfs::open_files(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
