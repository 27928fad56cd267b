//! Wires the parts, serves, and stops in the right order.

mod serve;

use crate::{
    auth::{Caller, PasswordHasher},
    config::{Auth, Config, Switch},
    hub::{Census, Hub},
    repository::{
        ChatRepository, HealthRepository, LogRepository, MemberRepository, MessageRepository,
        SampleRepository, TakeoverRepository, UserRepository,
    },
    routes,
    service::{
        ChatService, Feeds, HealthService, MemberService, MessageService, Standings, Start,
        UserService, Writer,
    },
    state::{AppState, Limits, Shared},
    store::Store,
};
use std::{future::Future, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the writer may take for what is left in its queue when the server stops: each change
/// in it is answered within 5 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A server that is ready to serve.
pub struct App {
    state: AppState,
    store: Store,
    hub: Hub,
    /// The writer's worker, and the token that tells it to finish.
    writing: JoinHandle<()>,
    stop_writing: CancellationToken,
    bounds: serve::Bounds,
    shutdown_limit: Duration,
}

impl App {
    /// Opens the database and wires the parts.
    ///
    /// # Errors
    /// A sentence for whoever starts the server.
    pub async fn start(config: &Config) -> Result<Self, String> {
        check(config)?;
        let connections = config.database.db_connections;
        let store = Store::open(&config.target()?, connections).await?;
        let passwords = PasswordHasher::new(config.hashes_at_once());
        prepare(config, &store, &passwords).await?;

        let hub = Hub::default();
        let stop_writing = CancellationToken::new();
        let (writer, worker) = Writer::new(
            LogRepository::new(store.clone()),
            hub.clone(),
            stop_writing.clone(),
        );
        let members = MemberRepository::new(store.clone());
        let messages = MessageRepository::new(store.clone());
        let users = UserRepository::new(store.clone());
        // Half of the connections, so that sockets that come back leave some to everyone else.
        let reading = (connections / 2).max(1) as usize;
        let (standings, answering) = Standings::new(members.clone());
        tokio::spawn(answering);
        let member_service = MemberService::new(
            members.clone(),
            users.clone(),
            messages.clone(),
            standings,
            hub.clone(),
        );
        let state = AppState::new(Shared {
            health: HealthService::new(HealthRepository::new(store.clone())),
            users: UserService::new(users, passwords, writer.clone()),
            chats: ChatService::new(ChatRepository::new(store.clone()), writer.clone()),
            members: member_service.clone(),
            messages: MessageService::new(messages.clone(), members.clone(), writer),
            feeds: Feeds::new(hub.clone(), member_service, messages, reading),
            anonymous: Caller::Open,
            origins: config.cors_allowed_origins.clone(),
            loopback_only: config.auth() == Auth::Open && config.host.is_loopback(),
            limits: limits(config),
            sessions: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let writing = tokio::spawn(worker.run());
        let bounds = serve::Bounds {
            connections: config.max_connections as usize,
            head_limit: config.handshake_limit,
        };
        let shutdown_limit = config.shutdown_limit;
        Ok(Self {
            state,
            store,
            hub,
            writing,
            stop_writing,
            bounds,
            shutdown_limit,
        })
    }

    /// How much the hub holds at this moment. The probe outlives the server.
    pub fn census(&self) -> impl Fn() -> Census + Send + 'static {
        let hub = self.hub.clone();
        move || hub.census()
    }

    /// Serves until `shutdown`, then stops: no new connections; requests and sockets finish, each
    /// accepted change committed and answered; the writer's last commit; the database.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let service = routes::service(self.state.clone());
        let connections = TaskTracker::new();
        let stopping = self.state.stopping.clone();
        serve::accept(
            listener,
            service,
            self.bounds,
            shutdown,
            &stopping,
            &connections,
        )
        .await;

        tracing::info!("stopping");
        stopping.cancel();
        connections.close();
        self.state.sessions.close();
        let finished = async {
            connections.wait().await;
            self.state.sessions.wait().await;
        };
        if time::timeout(self.shutdown_limit, finished).await.is_err() {
            let sockets = self.state.sessions.len();
            tracing::warn!(sockets, requests = connections.len(), "gave up waiting for");
        }
        self.stop_writing.cancel();
        if time::timeout(DRAIN_LIMIT, self.writing).await.is_err() {
            tracing::warn!("gave up waiting for the last commit");
        }
        if time::timeout(DRAIN_LIMIT, self.store.close())
            .await
            .is_err()
        {
            tracing::warn!("gave up waiting for the database to close");
        }
        tracing::info!("stopped");
    }
}

/// Refuses what cannot be served.
fn check(config: &Config) -> Result<(), String> {
    if config.auth() == Auth::Required {
        return Err(
            "AUTH=required is not available yet; listen on a loopback address, or say \
                    AUTH=open to let everyone who reaches this server do everything"
                .to_owned(),
        );
    }
    if config.rate_limit == Switch::On {
        return Err("RATE_LIMIT=on is not available yet; leave it off".to_owned());
    }
    tracing::warn!(
        "open mode: whoever reaches this server is believed to be who they say they are"
    );
    Ok(())
}

/// Brings the data into shape.
async fn prepare(config: &Config, store: &Store, passwords: &PasswordHasher) -> Result<(), String> {
    let start = Start::new(
        TakeoverRepository::new(store.clone()),
        SampleRepository::new(store.clone()),
        passwords.clone(),
    );
    let failed = |e: crate::error::Error| {
        e.log();
        format!("cannot prepare the data: {e}")
    };
    start.hash_plain_passwords().await.map_err(failed)?;
    if config.demo_data() {
        start.fill_sample().await.map_err(failed)?;
    }
    Ok(())
}

fn limits(config: &Config) -> Limits {
    Limits {
        body: config.max_body_bytes as usize,
        frame: config.max_frame_bytes as usize,
        chats_per_socket: config.max_chats_per_socket as usize,
        request: config.request_limit,
        handshake: config.handshake_limit,
        ping: config.ping_interval,
        write: config.write_limit,
    }
}
