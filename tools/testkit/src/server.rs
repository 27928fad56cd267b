//! The server inside the test's process, behind a real listener.

use super::{Client, Database, Socket, Store, patiently};
use clap::Parser;
use messaging_api::{App, Config, HubStats};
use std::net::SocketAddr;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running server with a database of its own. Dropping it stops it.
pub struct Server {
    /// The address.
    pub address: SocketAddr,
    /// The database.
    pub database: Database,
    hub_stats: Box<dyn Fn() -> HubStats + Send + Sync>,
    stop: Option<oneshot::Sender<()>>,
    stopped: JoinHandle<()>,
}

impl Server {
    /// Starts one on a new, empty database.
    pub async fn start(store: Store) -> Self {
        Self::start_with(store, &[]).await
    }

    /// Starts one on a new, empty database, with flags such as `--ping-seconds=1`.
    pub async fn start_with(store: Store, flags: &[&str]) -> Self {
        Self::start_on(Database::new(store).await, flags).await
    }

    /// Starts another on the same database.
    pub async fn beside(&self, flags: &[&str]) -> Self {
        let database = Database {
            url: self.database.url.clone(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        Self::start_on(database, flags).await
    }

    /// Starts one on an existing database.
    pub async fn start_on(database: Database, flags: &[&str]) -> Self {
        let fixed = ["messaging-api", "--port=0", "--demo-data=false"];
        let url = format!("--database-url={}", database.url);
        let name = |flag: &str| flag.split('=').next().map(str::to_owned);
        let given: Vec<_> = flags.iter().map(|flag| name(flag)).collect();
        let flags = fixed
            .iter()
            .filter(|flag| !given.contains(&name(flag)))
            .chain(flags)
            .map(|flag| (*flag).to_owned())
            .chain([url]);
        let config = Config::parse_from(flags);
        let app = App::start(&config).await.expect("a server that starts");
        let hub_stats = Box::new(app.hub_stats());
        let listener = TcpListener::bind(config.address())
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = oneshot::channel();
        let stopped = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopping.await;
            };
            app.serve(listener, shutdown).await.expect("a clean stop");
        });
        Self {
            address,
            database,
            hub_stats,
            stop: Some(stop),
            stopped,
        }
    }

    /// A REST client.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A new socket, connected to no chat.
    pub async fn socket(&self) -> Socket {
        Socket::open(self.address).await
    }

    /// The size of the hub.
    pub fn hub_stats(&self) -> HubStats {
        (self.hub_stats)()
    }

    /// Tells the server to stop, and does not wait.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the server, waits until it is gone, and gives its database back.
    pub async fn stop(mut self) -> Database {
        self.begin_stop();
        patiently("the server to stop", &mut self.stopped)
            .await
            .expect("a clean stop");
        self.database
    }
}
