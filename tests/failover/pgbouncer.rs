//! A PgBouncer of a test's own.

use std::{fs, net::SocketAddr, process::Stdio};
use tempfile::TempDir;
use testkit::{free_port, patiently, program};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// A running PgBouncer. Dropping it kills it.
pub struct PgBouncer {
    /// The database behind it, by its address.
    pub url: String,
    _folder: TempDir,
    _child: Child,
}

impl PgBouncer {
    /// Starts one on a free port before the Postgres of this URL. The settings are lines of its
    /// configuration; a setting that is absent has PgBouncer's own default.
    pub async fn before(postgres: &str, settings: &[&str]) -> Self {
        let port = free_port().expect("a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pgbouncer.ini");
        let mut url = url::Url::parse(postgres).expect("a URL");
        fs::write(&path, configuration(&url, address, settings)).expect("a file");
        let mut command = Command::new(program("pgbouncer"));
        // It refuses to run as root; Postgres' package brings a user for it.
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        let spawned = command
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let missing = "pgbouncer is missing: install it (on Debian the package pgbouncer)";
        let child = spawned.expect(missing);
        patiently("PgBouncer to listen", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        url.set_port(Some(address.port())).expect("a port");
        Self {
            url: url.into(),
            _folder: folder,
            _child: child,
        }
    }
}

fn configuration(postgres: &url::Url, address: SocketAddr, settings: &[&str]) -> String {
    let (host, port) = (postgres.host_str().unwrap_or_default(), postgres.port());
    let (port, user) = (port.unwrap_or(5432), postgres.username());
    format!(
        "[databases]\n\
         * = host={host} port={port} user={user}\n\
         [pgbouncer]\n\
         listen_addr = {}\n\
         listen_port = {}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         {}\n",
        address.ip(),
        address.port(),
        settings.join("\n")
    )
}
