//! What the routes get, and nothing else.

use crate::{
    auth::SharedSecret,
    delivery::Feeds,
    metrics::{Exposition, RouteMetrics},
    model::UserId,
    rate_limit::{ConcurrencyLimiter, KeyedRateLimiter, Rate, RefusalLog, TrustedProxies},
    service::{
        ChatService, HealthService, MemberService, MessageService, ReadReceiptService,
        SessionService, TotalsService, UserService,
    },
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the routes get. Cloning shares it.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// The parts themselves.
pub struct Shared {
    /// Whether anyone can be reached.
    pub health: HealthService,
    /// Users.
    pub users: UserService,
    /// Chats.
    pub chats: ChatService,
    /// Memberships.
    pub members: MemberService,
    /// Messages.
    pub messages: MessageService,
    /// How far members have read.
    pub reads: ReadReceiptService,
    /// What sockets are sent.
    pub feeds: Feeds,
    /// Who is signed in.
    pub logins: SessionService,
    /// Web origins whose pages may use the API.
    pub origins: Vec<String>,
    /// Whether only loopback names are taken for this server's own.
    pub loopback_only: bool,
    /// Whether requests through a proxy are refused: every caller on this machine is believed, and
    /// the setting that says so for others was not given.
    pub unproxied: bool,
    /// What callers are held to.
    pub limits: Limits,
    /// Whose word about their clients is believed.
    pub proxies: TrustedProxies,
    /// How fast each address may ask.
    pub requests: KeyedRateLimiter<IpAddr>,
    /// How fast each user may connect to chats.
    pub connects: KeyedRateLimiter<UserId>,
    /// How fast each user may send frames that are no messages: read positions, that they type, and what
    /// is not understood.
    pub signals: KeyedRateLimiter<UserId>,
    /// How fast addresses may choose and try passwords.
    pub passwords: KeyedRateLimiter<IpAddr>,
    /// Which refusals by rate are logged.
    pub refusals: RefusalLog,
    /// Permits for open connections of all addresses.
    pub permits: Arc<Semaphore>,
    /// How many connections each address may have.
    pub connections: ConcurrencyLimiter<IpAddr>,
    /// How many sockets each user may have.
    pub sockets: ConcurrencyLimiter<UserId>,
    /// What is counted of requests and sockets.
    pub metrics: RouteMetrics,
    /// How much is stored.
    pub totals: TotalsService,
    /// All that is counted, for who may see it.
    pub exposition: Exposition,
    /// What those show who may; none is none but anyone in open mode.
    pub metrics_token: Option<SharedSecret>,
    /// The sockets that are open.
    pub sessions: TaskTracker,
    /// Done when the server stops.
    pub stopping: CancellationToken,
}

/// What callers are held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest head of a request, in bytes.
    pub head: usize,
    /// Most headers of a request.
    pub headers: usize,
    /// Longest path and query of a request, in bytes.
    pub url: usize,
    /// Largest request body, in bytes.
    pub body: usize,
    /// Largest WebSocket message, in bytes.
    pub frame: usize,
    /// How many frames a socket may send.
    pub frames: Option<Rate>,
    /// Most chats a socket may be connected to.
    pub chats_per_socket: usize,
    /// How long a request may take.
    pub request: Duration,
    /// How long a socket may take to connect to a chat.
    pub handshake: Duration,
    /// How often a socket is pinged.
    pub ping: Duration,
    /// How long a socket may take to accept what it is sent.
    pub write: Duration,
}

impl AppState {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: Shared) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
