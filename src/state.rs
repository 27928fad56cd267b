//! The state that every route, middleware and socket shares: services, limiters and settings.

use crate::{
    auth::SharedSecret,
    delivery::Feeds,
    metrics::{Exposition, RouteMetrics},
    model::UserId,
    rate_limit::{ConcurrencyLimiter, KeyedRateLimiter, Rate, RefusalLog, TrustedProxies},
    service::{
        ChatService, HealthService, MemberService, MessageService, PageReads, ReadReceiptService,
        SessionService, TotalsService, UserService,
    },
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The state of every route. A clone shares it.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// The parts of the state.
pub struct Shared {
    /// Checks whether changes can be stored, for `GET /health/ready`.
    pub health: HealthService,
    /// Creates, reads, changes and deletes users.
    pub users: UserService,
    /// Creates, reads, renames and deletes chats.
    pub chats: ChatService,
    /// Adds, lists and removes members of chats.
    pub members: MemberService,
    /// Sends, edits, deletes and reads messages.
    pub messages: MessageService,
    /// Records how far members have read.
    pub receipts: ReadReceiptService,
    /// Limits the reads of pages, and the memory of their answers.
    pub reads: PageReads,
    /// Creates the feed of each socket: the events that the socket is sent.
    pub feeds: Feeds,
    /// Signs users in and out, and identifies callers by their session.
    pub sessions: SessionService,
    /// Web origins that may use the API from a browser, besides the server's own origin.
    pub origins: Vec<String>,
    /// True if only loopback names are accepted in the `Host` header. That is so in open mode on a
    /// loopback address.
    pub loopback_only: bool,
    /// True if requests through a proxy are refused. That is so if AUTH is unset: the server then
    /// believes every caller on its own machine, but not callers behind a proxy.
    pub refuse_proxied: bool,
    /// Sizes, counts and durations that bound requests and sockets.
    pub limits: Limits,
    /// Proxies that are trusted to name their clients (`X-Forwarded-For`).
    pub proxies: TrustedProxies,
    /// Limits the rate of requests per client address.
    pub requests: KeyedRateLimiter<IpAddr>,
    /// Limits the rate of `connect-chat` frames per user.
    pub connects: KeyedRateLimiter<UserId>,
    /// Limits the rate of frames per user that change no message: read positions, typing and frames
    /// that cannot be parsed.
    pub signals: KeyedRateLimiter<UserId>,
    /// Limits the rate of requests per client address that set or try a password.
    pub passwords: KeyedRateLimiter<IpAddr>,
    /// Thins out the log lines about requests that a rate limiter refused.
    pub refusals: RefusalLog,
    /// Permits for open connections of all addresses.
    pub connection_permits: Arc<Semaphore>,
    /// Limits the open connections per client address.
    pub connections_per_address: ConcurrencyLimiter<IpAddr>,
    /// Limits the open sockets per user.
    pub sockets_per_user: ConcurrencyLimiter<UserId>,
    /// Metrics of requests and sockets.
    pub metrics: RouteMetrics,
    /// Counts stored users, chats, messages, sessions and bytes, for `GET /metrics`.
    pub totals: TotalsService,
    /// Renders all metrics as text.
    pub exposition: Exposition,
    /// Bearer token required by `GET /metrics`. If unset, metrics are public in open mode and
    /// hidden otherwise.
    pub metrics_token: Option<SharedSecret>,
    /// Tracks the tasks of open sockets, so that a stopping server can wait for them.
    pub socket_tasks: TaskTracker,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
}

/// Limits on requests and sockets. Sizes are in bytes.
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
    /// Rate of frames that one socket may send. `None` means unlimited.
    pub frames: Option<Rate>,
    /// Most chats that one socket may be connected to.
    pub chats_per_socket: usize,
    /// Time limit of a request.
    pub request: Duration,
    /// Time within which a new socket must send a `connect-chat` that the server accepts.
    pub handshake: Duration,
    /// Interval between pings on a socket.
    pub ping: Duration,
    /// Time that a client has to accept the bytes that the server writes.
    pub write: Duration,
}

impl AppState {
    /// Builds the state from its parts.
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
