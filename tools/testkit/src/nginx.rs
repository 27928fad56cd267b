//! An nginx with the configuration of `deploy/`.

use super::{free_port, patiently, program};
use std::{fs, net::SocketAddr, path::Path, process::Stdio};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// A running nginx. Dropping it kills its master, and with it the workers.
pub struct Nginx {
    /// The address.
    pub address: SocketAddr,
    _folder: TempDir,
    _child: Child,
}

impl Nginx {
    /// Starts one on a free port before these three servers.
    pub async fn before(servers: [SocketAddr; 3]) -> Self {
        let port = free_port().expect("a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("nginx.conf");
        fs::write(&path, configuration(folder.path(), address, servers)).expect("a file");
        let spawned = Command::new(program("nginx"))
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(folder.path())
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // One line for each server that is down, which the test intends.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let child = spawned.expect("nginx is missing: install it (on Debian the package nginx)");
        patiently("nginx to listen", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self {
            address,
            _folder: folder,
            _child: child,
        }
    }
}

/// `deploy/nginx.conf` with other addresses, in a folder of its own. Name lookups are left out: an older
/// nginx does not know their settings.
fn configuration(folder: &Path, address: SocketAddr, servers: [SocketAddr; 3]) -> String {
    let shipped = include_str!("../../../deploy/nginx.conf");
    let mut text = shipped.to_owned();
    let mut replace = |from: &str, to: &str| {
        assert!(text.contains(from), "deploy/nginx.conf has no {from:?}");
        text = text.replace(from, to);
    };
    for (n, server) in servers.iter().enumerate() {
        let from = format!("server node{}:8080 resolve ", n + 1);
        replace(&from, &format!("server {server} "));
    }
    replace("resolver 127.0.0.11 valid=2s ipv6=off;", "");
    replace("listen 8080;", &format!("listen {address};"));
    replace(
        "worker_processes auto;",
        "worker_processes 1;\ndaemon off;\npid nginx.pid;",
    );
    replace("worker_rlimit_nofile 131072;", "");
    replace("worker_connections 65536;", "worker_connections 512;");
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| {
        let place = folder.join(kind);
        format!("{kind}_temp_path {};", place.display())
    });
    let own = format!(
        "http {{\n    access_log off;\n    {}",
        places.join("\n    ")
    );
    replace("http {", &own);
    text
}
