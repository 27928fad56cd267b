//! A NATS server that a test may kill and start again.

use super::{free_port, nats_server, patiently};
use std::io;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A running nats-server. Dropping it kills it.
pub struct Nats {
    /// The port, which stays the same.
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Nats {
    /// Starts one on a free port and waits until it answers.
    pub async fn start() -> Self {
        let mut nats = Self {
            port: free_port().expect("a free port"),
            folder: tempfile::tempdir().expect("a temporary folder"),
            child: None,
        };
        nats.restart().await;
        nats
    }

    /// The value of `NATS_URL`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again after `kill`, on the same port.
    pub async fn restart(&mut self) {
        let mut command = Command::from(nats_server(self.port));
        let command = command.current_dir(self.folder.path()).kill_on_drop(true);
        let missing = "nats-server is missing: install it (on Debian the package nats-server)";
        self.child = Some(command.spawn().expect(missing));
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
