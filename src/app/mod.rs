//! The application: wires the parts, serves, and stops in order.

mod gauges;
mod limits;
mod open_files;
#[cfg(test)]
mod tests;
mod wiring;

use crate::{
    auth::PasswordHasher,
    config::{Auth, Config},
    database::Pools,
    hub::{Hub, HubStats},
    metrics::Metrics,
    server,
    state::AppState,
    tasks::Tasks,
};
use std::{future::Future, time::Duration};
use tokio::{net::TcpListener, select, time};
use tokio_util::task::TaskTracker;
use wiring::Parts;

pub use open_files::fit_open_files;

/// How long the database may take to close its connections.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// A server that is ready to serve.
pub struct App {
    state: AppState,
    pools: Pools,
    hub: Hub,
    tasks: Tasks,
    connection_limits: server::ConnectionLimits,
    shutdown_limit: Duration,
}

impl App {
    /// Opens the database, wires the parts and starts the background tasks.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn start(config: &Config) -> Result<Self, String> {
        config.check()?;
        warn_of_open_mode(config);
        warn_of_ignored(config);
        let database = &config.database;
        let connections = database.db_connections;
        let pools = Pools::open(&config.target()?, connections, database.db_wait).await?;
        wiring::prepare(config, &pools.general).await?;
        let metrics = Metrics::default();
        let limiters = limits::CallerLimiters::new(config, pools.readers);
        let mut tasks = Tasks::default();
        let (hub, link) =
            wiring::connect_hub(config, &pools, (&limiters, &metrics), &mut tasks).await?;
        let passwords =
            PasswordHasher::new(config.hashes_at_once(), wiring::password_rules(config));
        let parts = Parts {
            config,
            pools: &pools,
            hub: &hub,
            link,
            metrics: &metrics,
            limiters: &limiters,
            passwords: &passwords,
        };
        let state = parts.start(&mut tasks);
        let connection_limits = limits::connection_limits(config, &state);
        Ok(Self {
            state,
            pools,
            hub,
            tasks,
            connection_limits,
            shutdown_limit: config.shutdown_limit,
        })
    }

    /// Returns a probe of the hub's size. The probe outlives the server.
    pub fn hub_stats(&self) -> impl Fn() -> HubStats + Send + 'static {
        let hub = self.hub.clone();
        move || hub.hub_stats()
    }

    /// Serves until `shutdown`, or until a background task has ended. Then the server stops in this order: no
    /// new connections; requests, deletions and sockets finish; the background tasks, stage by stage; the database. Each
    /// step has a limit.
    ///
    /// # Errors
    /// A sentence that names the task that ended.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let connections = TaskTracker::new();
        let stopping = self.state.stopping.clone();
        let acceptor = server::Acceptor::new(
            server::service(self.state.clone()),
            self.connection_limits.clone(),
            stopping.clone(),
            connections.clone(),
        );
        let shutdown = async {
            select! {
                () = shutdown => {}
                () = self.tasks.failure() => {}
            }
        };
        acceptor.accept(listener, shutdown).await;

        tracing::info!("stopping");
        stopping.cancel();
        self.finish(&connections).await;
        self.tasks.stop().await;
        if time::timeout(CLOSE_LIMIT, self.pools.close())
            .await
            .is_err()
        {
            tracing::warn!("gave up waiting for the database to close");
        }
        self.outcome()
    }

    /// Waits until all requests, the deletions that they have started, and all sockets have finished, within the
    /// limit.
    async fn finish(&self, connections: &TaskTracker) {
        let deletions = self.tasks.detached();
        connections.close();
        self.state.socket_tasks.close();
        deletions.close();
        let finished = async {
            connections.wait().await;
            self.state.socket_tasks.wait().await;
            deletions.wait().await;
        };
        if time::timeout(self.shutdown_limit, finished).await.is_err() {
            let sockets = self.state.socket_tasks.len();
            tracing::warn!(
                sockets,
                requests = connections.len(),
                deletions = deletions.len(),
                "gave up waiting for sockets and requests to finish"
            );
        }
    }

    fn outcome(&self) -> Result<(), String> {
        let Some(task) = self.tasks.failed() else {
            tracing::info!("stopped");
            return Ok(());
        };
        tracing::error!(task, "stopped because an essential task had ended");
        Err(format!(
            "the server stopped because an essential task had ended: {task}; start it again"
        ))
    }
}

/// Logs a warning if the server runs in open mode.
fn warn_of_open_mode(config: &Config) {
    if config.auth() == Auth::Open {
        tracing::warn!(
            "open mode: this server trusts every caller without a login; AUTH=required requires one"
        );
    }
}

/// Logs the names of ignored parameters of DATABASE_URL, never their values.
fn warn_of_ignored(config: &Config) {
    for parameter in config.database.ignored() {
        tracing::warn!(parameter, "an unknown parameter of DATABASE_URL is ignored");
    }
}
