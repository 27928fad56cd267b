//! What a request knows of its connection.

use crate::{error::Error, rate_limit::Permit};
use axum::{
    extract::Request as AnyRequest,
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// How long somebody waits who found no room: nobody knows when there will be some.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A connection: who is at its other end, and its place among those that may be open. A socket
/// keeps a clone, so that its place is taken until it closes.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address at the other end.
    pub peer: SocketAddr,
    /// Why none of its requests is served.
    refused: Option<Refused>,
    input: Arc<Input>,
    _room: Arc<ConnectionPermits>,
}

/// What the other side of a connection sends, once it is a socket. A client may say that it sends no
/// more and still read: the WebSocket protocol would end with its input, so that the end is told here
/// and not there.
#[derive(Debug, Default)]
pub struct Input {
    is_socket: AtomicBool,
    has_ended: AtomicBool,
    told: Notify,
}

impl Input {
    /// Takes note that nothing more comes; false where the connection is no socket, and its reader
    /// must see the end itself.
    pub fn end(&self) -> bool {
        let is_socket = self.is_socket.load(Ordering::Relaxed);
        if is_socket {
            self.has_ended.store(true, Ordering::Release);
            self.told.notify_waiters();
        }
        is_socket
    }

    /// Waits until nothing more comes.
    pub async fn ended(&self) {
        let told = self.told.notified();
        if !self.has_ended.load(Ordering::Acquire) {
            told.await;
        }
    }
}

/// What a connection takes up while it is open: a place among all, and one among those of its
/// address.
#[derive(Debug)]
pub struct ConnectionPermits(pub OwnedSemaphorePermit, pub Option<Permit<IpAddr>>);

/// Why there is no room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has as many as it takes.
    ServerFull,
    /// The address has as many as it may.
    AddressFull,
}

impl Connection {
    /// A connection that has got its room, or that is only told why it has not.
    #[must_use]
    pub fn new(peer: SocketAddr, room: ConnectionPermits, refused: Option<Refused>) -> Self {
        Self {
            peer,
            refused,
            input: Arc::default(),
            _room: Arc::new(room),
        }
    }

    /// What the other side sends.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The connection is a socket from here on.
    pub(crate) fn become_socket(&self) -> Arc<Input> {
        self.input.is_socket.store(true, Ordering::Relaxed);
        self.input.clone()
    }
}

/// Answers the requests of a connection that there is no room for. Those for health are served: a full
/// server is not a failed one, and a supervisor must not restart it.
pub(crate) async fn turn_away(request: AnyRequest, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    let Some(refused) = connection.and_then(|connection| connection.refused) else {
        return next.run(request).await;
    };
    let mut response = match refused {
        Refused::ServerFull if request.uri().path().starts_with("/health/") => {
            next.run(request).await
        }
        Refused::ServerFull => Error::unavailable().into_response(),
        Refused::AddressFull => too_many_connections().into_response(),
    };
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The error for an address that has all the connections it may have.
pub(crate) fn too_many_connections() -> Error {
    let message = "This address has too many connections open; close some";
    Error::rate_limited(message, RETRY_AFTER)
}
