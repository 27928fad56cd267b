//! Builds the parts of the server in the order of their layers, and starts their background tasks.

use super::{gauges::GaugeSources, limits};
use crate::{
    auth::{Mode, PasswordHasher, PasswordRules, SharedSecret},
    cli::Control,
    cluster::{Link, LinkOptions, LinkTask},
    config::{Auth, Config},
    database::{Database, Pools},
    delivery::{FeedLimits, Feeds, MembershipLoader, Reconciler, Writer},
    error::Error,
    hub::{Hub, Leaves, Outbox},
    metrics::{Exposition, Histogram, Metrics},
    rate_limit::{ConcurrencyLimiter, TrustedProxies},
    service::{
        self, AdminSuccession, ChatPurger, ChatService, Deletions, HealthService, LargeDeletions,
        LastMessageBackfill, LegacyPasswords, MemberService, MessageService, PageReads,
        ReadReceiptService, SearchIndexer, SessionService, SessionTtl, SkeletonBackfill,
        TotalsService, UserService,
    },
    state::{AppState, Shared},
    tasks::{Stage, Tasks},
};
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The work of a background task.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The parts that every other part is built on.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) pools: &'a Pools,
    pub(super) hub: &'a Hub,
    /// The link to the other nodes; null on a single node.
    pub(super) link: Option<Link>,
    pub(super) metrics: &'a Metrics,
    pub(super) limiters: &'a limits::CallerLimiters,
    pub(super) passwords: &'a PasswordHasher,
}

/// The parts between the hub and the services.
struct Delivery {
    writer: Writer,
    memberships: MembershipLoader,
    feeds: Feeds,
    /// Notes of deletions, for the tasks that clean up after them.
    deletions: Deletions,
}

/// Fills the demo data and the skeletons of an empty database.
pub(super) async fn prepare(config: &Config, database: &Database) -> Result<(), String> {
    let failed = |e: Error| {
        e.log();
        format!("cannot prepare the data: {e}")
    };
    if config.demo_data() {
        service::fill_sample(database).await.map_err(failed)?;
    }
    let filled = service::fill_first_skeletons(database).await;
    filled.map_err(failed)
}

/// The rules of new passwords. In open mode, which is for development, every password is accepted.
pub(super) fn password_rules(config: &Config) -> PasswordRules {
    match config.auth() {
        Auth::Open => PasswordRules::Any,
        Auth::Required => PasswordRules::Strong,
    }
}

/// Builds the hub, and the link to the other nodes if NATS_URL is set.
pub(super) async fn connect_hub(
    config: &Config,
    pools: &Pools,
    (limiters, metrics): (&limits::CallerLimiters, &Metrics),
    tasks: &mut Tasks,
) -> Result<(Hub, Option<Link>), String> {
    let leaves: Leaves = limiters.leaves.clone();
    let (hub, delayed, link) = match config.nats_url.clone() {
        None => {
            let (hub, delayed) = Hub::new(leaves);
            (hub, delayed, None)
        }
        Some(urls) => {
            let (hub, delayed, outbox) = Hub::linked(leaves);
            let lag = metrics.link_lag.clone();
            let (link, task) = link(config, pools, (urls, outbox), lag).await?;
            let running = task.run(hub.clone(), tasks.stop_token(Stage::Link));
            tasks.spawn("link", Stage::Link, running);
            (hub, delayed, Some(link))
        }
    };
    let stop = tasks.stop_token(Stage::Periodic);
    let leaving = delayed.run(hub.clone(), stop);
    tasks.spawn("delayed leaves", Stage::Periodic, leaving);
    Ok((hub, link))
}

async fn link(
    config: &Config,
    pools: &Pools,
    (urls, outbox): (String, Outbox),
    lag: Histogram,
) -> Result<(Link, LinkTask), String> {
    let deployment = pools.general.deployment().await.map_err(|e| {
        e.log();
        format!("cannot name the link to the other servers: {e}")
    })?;
    let options = LinkOptions {
        urls,
        credentials: config.nats_credentials.clone(),
        authorities: config.nats_ca.clone(),
        deployment: deployment
            .ok_or("NATS_URL requires Postgres: set DATABASE_URL to a Postgres database")?,
        subscription: config.nats_subscription,
        on_lag: Box::new(move |age| lag.observe(age.as_secs_f64())),
    };
    let linked = Link::new(options, outbox).await;
    linked.map_err(|error| config.secret_files.renamed(error))
}

impl Parts<'_> {
    /// Builds the services, and starts every background task.
    pub(super) fn start(&self, tasks: &mut Tasks) -> AppState {
        let delivery = self.start_delivery(tasks);
        let sessions = self.sessions();
        let stop = tasks.stop_token(Stage::Periodic);
        let keeper = sessions.keeper(self.config.session_sweep).run(stop);
        tasks.spawn("session janitor", Stage::Periodic, keeper);
        self.start_maintenance(&delivery, tasks);
        self.state(delivery, sessions, tasks)
    }

    /// The database, over the general pool.
    fn database(&self) -> Database {
        self.pools.general.clone()
    }

    fn start_delivery(&self, tasks: &mut Tasks) -> Delivery {
        let (hub, priority) = (self.hub, &self.pools.priority);
        let (writer, worker) = Writer::new(
            priority.clone(),
            hub.clone(),
            self.metrics.writer.clone(),
            tasks.stop_token(Stage::Writer),
        );
        tasks.spawn("writer", Stage::Writer, worker.run());
        let reconciler = Reconciler::new(hub.clone(), self.database(), self.config.compare);
        let reconciling = reconciler.run(tasks.stop_token(Stage::Periodic));
        tasks.spawn("reconciler", Stage::Periodic, reconciling);
        let (memberships, loading) = MembershipLoader::new(priority.clone(), writer.clone());
        tasks.spawn("membership loader", Stage::Loader, loading);
        let limits = FeedLimits {
            at_once: self.pools.feeds_at_once,
            turns: self.limiters.turns.clone(),
            memory: self.limiters.memory.clone(),
        };
        let feeds = Feeds::new(
            hub.clone(),
            memberships.clone(),
            self.database(),
            limits,
            self.metrics.feeds.clone(),
        );
        Delivery {
            writer,
            memberships,
            feeds,
            deletions: Deletions::default(),
        }
    }

    /// Starts the periodic tasks that no service needs.
    fn start_maintenance(&self, delivery: &Delivery, tasks: &mut Tasks) {
        let (database, deletions) = (self.database(), &delivery.deletions);
        let stop = tasks.stop_token(Stage::Periodic);
        let mut spawn = |name, work: Work| tasks.spawn(name, Stage::Periodic, work);
        let members_only = self.config.auth() == Auth::Required;
        let succession = AdminSuccession::new(
            database.clone(),
            delivery.writer.clone(),
            deletions.clone(),
            members_only,
        );
        spawn("admin succession", Box::pin(succession.run(stop.clone())));
        let purger = ChatPurger::new(database.clone(), deletions.clone());
        spawn("chat purge", Box::pin(purger.run(stop.clone())));
        let writer = delivery.writer.clone();
        let large = LargeDeletions::new(database.clone(), writer, deletions.clone());
        spawn("large user deletions", Box::pin(large.run(stop.clone())));
        let skeletons = SkeletonBackfill::new(database.clone());
        spawn("skeleton backfill", Box::pin(skeletons.run(stop.clone())));
        let last_messages = LastMessageBackfill::new(database.clone());
        let filling = Box::pin(last_messages.run(stop.clone()));
        spawn("last message backfill", filling);
        let metrics = self.metrics.search.clone();
        let indexer = SearchIndexer::new(database.clone(), self.hub.clone(), metrics);
        spawn("search index", Box::pin(indexer.run(stop.clone())));
        // Half of the hashing permits are left to logins.
        let at_once = self.config.hashes_at_once() / 2;
        let legacy = LegacyPasswords::new(database.clone(), self.passwords.clone(), at_once);
        let hashing = Box::pin(legacy.run(stop.clone()));
        spawn("legacy password hashing", hashing);
        let hub = self.hub.clone();
        let close = move |session| hub.end_session(session);
        if let Some(control) = Control::listen(self.config, &database, close) {
            spawn("control socket", Box::pin(control.run(stop.clone())));
        }
        let sweeping = self.limiters.clone().sweep(stop.clone());
        spawn("rate limiter cleanup", Box::pin(sweeping));
        let shortening = async move { database.keep_log_short(&stop).await };
        spawn("write-ahead log", Box::pin(shortening));
    }

    fn sessions(&self) -> SessionService {
        let mode = match self.config.auth() {
            Auth::Open => Mode::Open,
            Auth::Required => Mode::Required,
        };
        let lifetimes = SessionTtl {
            absolute: self.config.session_limit,
            idle: self.config.session_idle_limit,
        };
        let (passwords, hub) = (self.passwords.clone(), self.hub.clone());
        SessionService::new(self.pools, mode, passwords, hub, lifetimes)
    }

    fn users(&self, delivery: &Delivery, tasks: &mut Tasks) -> UserService {
        let (users, loading) = UserService::new(
            self.database(),
            self.passwords.clone(),
            self.hub.clone(),
            delivery.writer.clone(),
            (delivery.deletions.clone(), tasks.detached()),
        );
        tasks.spawn("user loader", Stage::Loader, loading);
        users
    }

    fn read_receipts(&self, delivery: &Delivery, tasks: &mut Tasks) -> ReadReceiptService {
        let (memberships, hub) = (delivery.memberships.clone(), self.hub.clone());
        let (receipts, writing) = ReadReceiptService::new(self.database(), memberships, hub);
        tasks.spawn("read receipts", Stage::Loader, writing);
        receipts
    }

    fn chats(&self, delivery: &Delivery) -> ChatService {
        let most = limits::only_with(self.config, self.config.limits.max_chats_per_user);
        let (writer, deletions) = (delivery.writer.clone(), delivery.deletions.clone());
        ChatService::new(self.database(), writer, deletions, most)
    }

    fn members(&self, delivery: &Delivery) -> MemberService {
        let most = limits::only_with(self.config, self.config.limits.max_memberships_per_user);
        let (memberships, writer) = (delivery.memberships.clone(), delivery.writer.clone());
        MemberService::new(self.database(), memberships, writer, most)
    }

    fn messages(&self, delivery: &Delivery) -> MessageService {
        let (writer, limiter) = (delivery.writer.clone(), self.limiters.messages.clone());
        MessageService::new(self.database(), writer, limiter)
    }

    fn state(&self, delivery: Delivery, sessions: SessionService, tasks: &mut Tasks) -> AppState {
        let config = self.config;
        let connection_permits = Arc::new(Semaphore::new(config.max_connections as usize));
        let socket_tasks = TaskTracker::new();
        let totals = TotalsService::new(self.database());
        let sources = GaugeSources {
            totals: totals.clone(),
            hub: self.hub.clone(),
            link: self.link.clone(),
            pools: self.pools.clone(),
            writer: delivery.writer.clone(),
            sockets: socket_tasks.clone(),
            permits: connection_permits.clone(),
            most_connections: config.max_connections as usize,
        };
        let (limiters, limits) = (self.limiters, &config.limits);
        let concurrency = |most| limits::only_with(config, most);
        AppState::new(Shared {
            users: self.users(&delivery, tasks),
            receipts: self.read_receipts(&delivery, tasks),
            chats: self.chats(&delivery),
            members: self.members(&delivery),
            messages: self.messages(&delivery),
            reads: PageReads::new(limiters.turns.clone(), limiters.memory.clone()),
            health: HealthService::new(
                self.pools.health(),
                self.link.clone(),
                delivery.writer,
                tasks.health(),
            ),
            feeds: delivery.feeds,
            sessions,
            origins: config.cors_allowed_origins.clone(),
            loopback_only: config.auth() == Auth::Open && config.host.is_loopback(),
            refuse_proxied: config.auth.is_none() && config.auth() == Auth::Open,
            limits: limits::limits(config),
            proxies: TrustedProxies::new(limits.trusted_proxies.clone()),
            requests: limiters.requests.clone(),
            passwords: limiters.passwords.clone(),
            connects: limiters.connects.clone(),
            signals: limiters.signals.clone(),
            refusals: limiters.refusals.clone(),
            connection_permits,
            connections_per_address: ConcurrencyLimiter::new(concurrency(
                limits.max_connections_per_address,
            )),
            sockets_per_user: ConcurrencyLimiter::new(concurrency(limits.max_sockets_per_user)),
            totals,
            exposition: Exposition::new(self.metrics, move || sources.read()),
            metrics: self.metrics.routes.clone(),
            metrics_token: config.metrics_token.as_deref().map(SharedSecret::new),
            socket_tasks,
            stopping: CancellationToken::new(),
        })
    }
}
