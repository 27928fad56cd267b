//! What the routes get, and nothing else.

use crate::{
    auth::Caller,
    service::{ChatService, Feeds, HealthService, MemberService, MessageService, UserService},
};
use std::{sync::Arc, time::Duration};
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
    /// What sockets are sent.
    pub feeds: Feeds,
    /// Who calls without having signed in.
    pub anonymous: Caller,
    /// Web origins whose pages may use the API.
    pub origins: Vec<String>,
    /// Whether only loopback names are taken for this server's own.
    pub loopback_only: bool,
    /// What callers are held to.
    pub limits: Limits,
    /// The sockets that are open.
    pub sessions: TaskTracker,
    /// Done when the server stops.
    pub stopping: CancellationToken,
}

/// What callers are held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body, in bytes.
    pub body: usize,
    /// Largest WebSocket message, in bytes.
    pub frame: usize,
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
