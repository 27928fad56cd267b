//! A NATS server of a test's own, which may be killed and started again.

use super::patiently;
use std::{io, net::TcpListener, process::Stdio};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A running nats-server. Dropping it kills it.
pub struct Nats {
    /// Where it listens, always the same.
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Nats {
    /// Starts one on a free port and waits until it answers.
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut nats = Self {
            port: free.expect("a free port").port(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            child: None,
        };
        nats.restart().await;
        nats
    }

    /// What `NATS_URL` would be.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again after `kill`, on the same port.
    pub async fn restart(&mut self) {
        let spawn = |program: &str| {
            Command::new(program)
                .args(["--addr", "127.0.0.1", "--port", &self.port.to_string()])
                .current_dir(self.folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
        };
        // Debian puts it where only root looks.
        let spawned = match spawn("nats-server") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => spawn("/usr/sbin/nats-server"),
            spawned => spawned,
        };
        let missing = "nats-server is missing: install it (on Debian the package nats-server); \
                       scripts/test does";
        self.child = Some(spawned.expect(missing));
        patiently("nats-server to answer", async {
            while greeting(self.port).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("a killed nats-server");
        }
    }
}

/// Reads the line with which a NATS server begins.
async fn greeting(port: u16) -> io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
