//! Wires the parts, serves, and stops in the right order.

mod gauges;
mod limits;
mod open_files;
mod tasks;

use super::server;
use crate::{
    auth::{Mode, PasswordHasher, PasswordRules, SharedSecret},
    cli::Control,
    cluster::{Link, LinkOptions, LinkTask},
    config::{Auth, Config},
    database::{Database, HealthRepository, Pools},
    delivery::{Feeds, MembershipLoader, Reconciler, ReconcilerParts, Writer},
    hub::{Hub, HubStats, Leaves},
    metrics::{Exposition, Histogram, Metrics},
    rate_limit::{ConcurrencyLimiter, TrustedProxies},
    repository::{
        ChatPurgeRepository, ChatRepository, DemoDataRepository, EpochRepository,
        LegacyPasswordRepository, LockedChatRepository, MemberRepository, MessageLogRepository,
        MessageRepository, ReadPositionRepository, SessionRepository, SkeletonRepository,
        TotalsRepository, UserRepository,
    },
    service::{
        AdminSuccession, ChatParts, ChatPurger, ChatService, Deletions, HealthService,
        LegacyPasswords, MemberParts, MemberService, MessageService, ReadReceiptService,
        SessionParts, SessionService, SessionTtl, SkeletonBackfill, Startup, TotalsService,
        UserService,
    },
    state::{AppState, Shared},
};
use gauges::GaugeSources;
use std::{future::Future, sync::Arc, time::Duration};
use tasks::Tasks;
use tokio::{net::TcpListener, select, sync::Semaphore, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use open_files::fit_open_files;

/// How long the writer may take for what is left in its queue when the server stops: each change
/// in it is answered within 5 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long the link may take for its last words when the server stops.
const LINK_LIMIT: Duration = Duration::from_secs(3);

/// Tasks that a stopping server waits for: the one that commits, the one that notes which sessions are
/// in use, the one that deletes the rows of deleted chats, the one that carries out commands, the one
/// that hears other servers.
const WRITER: &str = "writer";
const KEEPER: &str = "session keeper";
const SWEEPER: &str = "chat sweeper";
const CONTROL: &str = "control socket";
const LINK: &str = "link";

/// A server that is ready to serve.
pub struct App {
    state: AppState,
    stores: Pools,
    hub: Hub,
    /// Everything that runs behind the requests.
    tasks: Tasks,
    /// Tells the writer, the keeper and the sweeper to finish.
    stop_writing: CancellationToken,
    /// Tells the link to finish.
    stop_linking: CancellationToken,
    bounds: server::ConnectionLimits,
    shutdown_limit: Duration,
}

impl App {
    /// Opens the database and wires the parts.
    ///
    /// # Errors
    /// A sentence for whoever starts the server.
    pub async fn start(config: &Config) -> Result<Self, String> {
        config.check()?;
        warn_of_open_mode(config);
        warn_of_ignored(config);
        let stores = Pools::open(
            &config.target()?,
            config.database.db_connections,
            config.database.db_wait,
        )
        .await?;
        let (store, priority) = (stores.general.clone(), stores.priority.clone());
        let passwords = PasswordHasher::new(config.hashes_at_once(), password_rules(config));
        prepare(config, &store).await?;

        let metrics = Metrics::default();
        let paces = limits::CallerPaces::new(config);
        let lag = metrics.link_lag.clone();
        let (hub, linked) = hub(config, &store, paces.leaves.clone(), lag).await?;
        let (link, link_work) = linked.unzip();
        let stop_writing = CancellationToken::new();
        let locked_chats = LockedChatRepository::new(store.clone());
        let (writer, worker) = Writer::new(
            MessageLogRepository::new(priority.clone()),
            LockedChatRepository::new(priority.clone()),
            hub.clone(),
            metrics.writer.clone(),
            stop_writing.clone(),
        );
        let members = MemberRepository::new(store.clone());
        let messages = MessageRepository::new(store.clone());
        let users = UserRepository::new(store.clone());
        let mut tasks = Tasks::new();
        let comparing = reconciler(config, &store, &hub).run(stop_writing.clone());
        tasks.spawn("comparer", &stop_writing, comparing);
        let (standings, answering) = MembershipLoader::new(MemberRepository::new(priority.clone()));
        tasks.spawn("member look-ups", &stop_writing, answering);
        let positions = ReadPositionRepository::new(store.clone());
        let (reads, marking) = ReadReceiptService::new(positions, standings.clone(), hub.clone());
        tasks.spawn("read positions", &stop_writing, marking);
        let deletions = Deletions::default();
        let (user_service, finding) = UserService::new(
            users.clone(),
            passwords.clone(),
            hub.clone(),
            writer.clone(),
            deletions.clone(),
        );
        tasks.spawn("user look-ups", &stop_writing, finding);
        let member_service = MemberService::new(MemberParts {
            members: members.clone(),
            users,
            messages: messages.clone(),
            locked_chats: locked_chats.clone(),
            standings: standings.clone(),
            writer: writer.clone(),
            most: limits::only_with(config, config.limits.max_memberships_per_user),
        });
        let sweeping = ChatPurgeRepository::new(store.clone());
        let guardian = AdminSuccession::new(
            sweeping.clone(),
            locked_chats.clone(),
            deletions.clone(),
            config.auth() == Auth::Required,
        );
        let sweeper = ChatPurger::new(sweeping, deletions.clone());
        let skeletons = SkeletonBackfill::new(SkeletonRepository::new(store.clone()));
        let chats = ChatRepository::new(store.clone());
        // Half of the turns are left to those who sign in.
        let plain = LegacyPasswords::new(
            LegacyPasswordRepository::new(store.clone()),
            passwords.clone(),
            config.hashes_at_once() / 2,
        );
        let logins = logins(config, &stores, &hub, &passwords);
        let keeper = logins.keeper(config.session_sweep);
        let room = Arc::new(Semaphore::new(config.max_connections as usize));
        let sessions = TaskTracker::new();
        let totals = TotalsService::new(TotalsRepository::new(store.clone()));
        let sources = GaugeSources {
            totals: totals.clone(),
            hub: hub.clone(),
            link: link.clone(),
            stores: stores.clone(),
            writer: writer.clone(),
            sockets: sessions.clone(),
            room: room.clone(),
            most_connections: config.max_connections as usize,
        };
        let state = AppState::new(Shared {
            health: HealthService::new(
                HealthRepository::new(stores.health()),
                link,
                writer.clone(),
                standings.clone(),
                reads.clone(),
            ),
            users: user_service,
            chats: ChatService::new(ChatParts {
                chats,
                members: members.clone(),
                locked_chats,
                writer: writer.clone(),
                deletions,
                most: limits::only_with(config, config.limits.max_chats_per_user),
            }),
            members: member_service.clone(),
            messages: MessageService::new(
                messages.clone(),
                members.clone(),
                EpochRepository::new(store.clone()),
                writer,
                paces.messages.clone(),
            ),
            reads,
            feeds: Feeds::new(
                hub.clone(),
                standings,
                messages,
                stores.feeds_at_once,
                metrics.feeds.clone(),
            ),
            logins,
            origins: config.cors_allowed_origins.clone(),
            loopback_only: config.auth() == Auth::Open && config.host.is_loopback(),
            unproxied: config.auth.is_none() && config.auth() == Auth::Open,
            limits: limits::limits(config),
            proxies: TrustedProxies::new(config.limits.trusted_proxies.clone()),
            requests: paces.requests.clone(),
            passwords: paces.passwords.clone(),
            connects: paces.connects.clone(),
            signals: paces.signals.clone(),
            refusals: paces.refusals.clone(),
            connections: ConcurrencyLimiter::new(limits::only_with(
                config,
                config.limits.max_connections_per_address,
            )),
            sockets: ConcurrencyLimiter::new(limits::only_with(
                config,
                config.limits.max_sockets_per_user,
            )),
            totals,
            exposition: Exposition::new(&metrics, move || sources.read()),
            metrics: metrics.routes,
            metrics_token: config.metrics_token.as_deref().map(SharedSecret::new),
            sessions,
            stopping: CancellationToken::new(),
        });
        tasks.spawn(WRITER, &stop_writing, worker.run());
        let stop_linking = CancellationToken::new();
        if let Some(work) = link_work {
            let linking = work.run(hub.clone(), stop_linking.clone());
            tasks.spawn(LINK, &stop_linking, linking);
        }
        tasks.spawn(KEEPER, &stop_writing, keeper.run(stop_writing.clone()));
        tasks.spawn(SWEEPER, &stop_writing, sweeper.run(stop_writing.clone()));
        let closing = hub.clone();
        let close = move |session| closing.end_session(session);
        if let Some(control) = Control::listen(config, &store, close) {
            tasks.spawn(CONTROL, &stop_writing, control.run(stop_writing.clone()));
        }
        let guarding = guardian.run(stop_writing.clone());
        tasks.spawn("guardian of chats", &stop_writing, guarding);
        let hashing = plain.run(stop_writing.clone());
        tasks.spawn("hashing of plain passwords", &stop_writing, hashing);
        let (logged, stopping) = (stores.general.clone(), stop_writing.clone());
        let shortening = async move { logged.keep_log_short(&stopping).await };
        tasks.spawn("log of the database", &stop_writing, shortening);
        let filling = skeletons.run(stop_writing.clone());
        tasks.spawn("skeleton filler", &stop_writing, filling);
        let forgetting = paces.sweep(state.stopping.clone());
        tasks.spawn("pace sweeper", &state.stopping, forgetting);
        let bounds = limits::bounds(config, &state, room);
        let shutdown_limit = config.shutdown_limit;
        Ok(Self {
            state,
            stores,
            hub,
            tasks,
            stop_writing,
            stop_linking,
            bounds,
            shutdown_limit,
        })
    }

    /// How much the hub holds at this moment. The probe outlives the server.
    pub fn hub_stats(&self) -> impl Fn() -> HubStats + Send + 'static {
        let hub = self.hub.clone();
        move || hub.hub_stats()
    }

    /// Serves until `shutdown`, or until a task has ended that the server cannot do without. Then it
    /// stops: no new connections; requests and sockets finish, each accepted change committed and
    /// answered; the writer's last commit; the link; the database. Each step has a limit.
    ///
    /// # Errors
    /// A sentence that names the task that ended.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let service = server::service(self.state.clone());
        let connections = TaskTracker::new();
        let stopping = self.state.stopping.clone();
        let door =
            server::Acceptor::new(service, self.bounds, stopping.clone(), connections.clone());
        let shutdown = async {
            select! {
                () = shutdown => {}
                () = self.tasks.failure() => {}
            }
        };
        door.accept(listener, shutdown).await;

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
        self.tasks.end(WRITER, DRAIN_LIMIT).await;
        // After the last commit, so that it is still published.
        self.stop_linking.cancel();
        self.tasks.end(LINK, LINK_LIMIT).await;
        self.tasks.end(KEEPER, DRAIN_LIMIT).await;
        self.tasks.end(SWEEPER, DRAIN_LIMIT).await;
        self.tasks.end(CONTROL, DRAIN_LIMIT).await;
        if time::timeout(DRAIN_LIMIT, self.stores.close())
            .await
            .is_err()
        {
            tracing::warn!("gave up waiting for the database to close");
        }
        match self.tasks.failed() {
            None => tracing::info!("stopped"),
            Some(task) => {
                tracing::error!(task, "stopped because an essential task had ended");
                return Err(format!(
                    "the server stopped because an essential task had ended: {task}; start it again"
                ));
            }
        }
        Ok(())
    }
}

/// Says once that callers are believed, where they are.
fn warn_of_open_mode(config: &Config) {
    if config.auth() == Auth::Open {
        tracing::warn!(
            "open mode: whoever reaches this server is believed to be who they say they are"
        );
    }
}

/// Names what DATABASE_URL says in vain; never its values.
fn warn_of_ignored(config: &Config) {
    for parameter in config.database.ignored() {
        tracing::warn!(
            parameter,
            "a parameter of DATABASE_URL is not understood and ignored"
        );
    }
}

/// Who is connected: to this server alone, or to all that share the database.
async fn hub(
    config: &Config,
    store: &Database,
    leaves: Leaves,
    lag: Histogram,
) -> Result<(Hub, Option<(Link, LinkTask)>), String> {
    let Some(urls) = config.nats_url.clone() else {
        return Ok((Hub::new(leaves), None));
    };
    let named = store.deployment().await.map_err(|e| {
        e.log();
        format!("cannot name the link to the other servers: {e}")
    })?;
    let options = LinkOptions {
        urls,
        credentials: config.nats_credentials.clone(),
        authorities: config.nats_ca.clone(),
        deployment: named.ok_or("several servers need Postgres")?,
        subscription: config.nats_subscription,
        on_lag: Box::new(move |age| lag.observe_time(age)),
    };
    let (hub, outbox) = Hub::linked(leaves);
    let linked = Link::new(options, outbox).await;
    let linked = linked.map_err(|error| config.secret_files.renamed(error))?;
    Ok((hub, Some(linked)))
}

/// What sees to it that whoever is connected misses nothing.
fn reconciler(config: &Config, store: &Database, hub: &Hub) -> Reconciler {
    Reconciler::new(ReconcilerParts {
        hub: hub.clone(),
        log: MessageLogRepository::new(store.clone()),
        members: MemberRepository::new(store.clone()),
        users: UserRepository::new(store.clone()),
        sessions: SessionRepository::new(store.clone()),
        epochs: EpochRepository::new(store.clone()),
        period: config.compare,
    })
}

/// Brings the data into shape.
async fn prepare(config: &Config, store: &Database) -> Result<(), String> {
    let start = Startup::new(
        DemoDataRepository::new(store.clone()),
        SkeletonRepository::new(store.clone()),
    );
    let failed = |e: crate::error::Error| {
        e.log();
        format!("cannot prepare the data: {e}")
    };
    if config.demo_data() {
        start.fill_sample().await.map_err(failed)?;
    }
    start.fill_first_skeletons().await.map_err(failed)?;
    Ok(())
}

/// What new passwords must be: on a developer's own machine anything.
fn password_rules(config: &Config) -> PasswordRules {
    match config.auth() {
        Auth::Open => PasswordRules::Any,
        Auth::Required => PasswordRules::Strong,
    }
}

fn logins(
    config: &Config,
    stores: &Pools,
    hub: &Hub,
    passwords: &PasswordHasher,
) -> SessionService {
    let mode = match config.auth() {
        Auth::Open => Mode::Open,
        Auth::Required => Mode::Required,
    };
    SessionService::new(SessionParts {
        mode,
        sessions: SessionRepository::new(stores.general.clone()),
        tokens: SessionRepository::new(stores.priority.clone()),
        users: UserRepository::new(stores.general.clone()),
        passwords: passwords.clone(),
        hub: hub.clone(),
        lifetimes: SessionTtl {
            absolute: config.session_limit,
            idle: config.session_idle_limit,
        },
        at_once: stores.tokens_at_once,
    })
}
