//! The connection of a request, as middleware and handlers see it.

use crate::{error::Error, rate_limit::Permit, send_queue::SendQueue};
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

/// Retry-after for a refused connection. The time is a guess, because the server cannot know when
/// another connection closes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A connection: its peer and its permits. A socket keeps a clone, so that the permits are held
/// until the socket closes.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The reason why requests of this connection are refused. `None` for an admitted connection.
    refused: Option<Refused>,
    input: Arc<Input>,
    send_queue: Arc<SendQueue>,
    _room: Arc<ConnectionPermits>,
}

/// The input of a connection that became a socket. A client may close its sending side and still
/// read. The WebSocket library would end the socket with its input, so the end is signalled here
/// instead.
#[derive(Debug, Default)]
pub struct Input {
    is_socket: AtomicBool,
    has_ended: AtomicBool,
    notify: Notify,
}

impl Input {
    /// Records the end of the input. Returns false if the connection is not a socket; the reader of
    /// the connection must then see the end itself.
    pub fn end(&self) -> bool {
        let is_socket = self.is_socket.load(Ordering::Relaxed);
        if is_socket {
            self.has_ended.store(true, Ordering::Release);
            self.notify.notify_waiters();
        }
        is_socket
    }

    /// Waits for the end of the input.
    pub async fn ended(&self) {
        let notified = self.notify.notified();
        if !self.has_ended.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

/// The permits of an open connection: one of all connections, and one of the connections of its
/// address. The second is `None` for a trusted proxy and for a refused connection.
#[derive(Debug)]
pub struct ConnectionPermits(pub OwnedSemaphorePermit, pub Option<Permit<IpAddr>>);

/// The reason why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has as many connections as allowed.
    ServerFull,
    /// The address has as many connections as allowed.
    AddressFull,
}

impl Connection {
    /// Creates a connection that is admitted, or that only receives the reason of its refusal.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        send_queue: Arc<SendQueue>,
        room: ConnectionPermits,
        refused: Option<Refused>,
    ) -> Self {
        Self {
            peer,
            refused,
            input: Arc::default(),
            send_queue,
            _room: Arc::new(room),
        }
    }

    /// Returns the input of the connection.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Returns the outgoing bytes of the connection.
    #[must_use]
    pub fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// True if the connection became a socket: everything is written through its send queue.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.input.is_socket.load(Ordering::Relaxed)
    }

    /// Marks the connection as a socket, and returns its input.
    pub(crate) fn become_socket(&self) -> Arc<Input> {
        self.input.is_socket.store(true, Ordering::Relaxed);
        self.input.clone()
    }
}

/// Refuses the requests of a refused connection. A full server still serves health checks: it has
/// not failed, and a supervisor must not restart it.
pub(crate) async fn refuse_over_limit(request: AnyRequest, next: Next) -> Response {
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

/// Returns the error for an address that has as many connections as allowed.
pub(crate) fn too_many_connections() -> Error {
    let message = "This address has too many open connections; close some first";
    Error::rate_limited(message, RETRY_AFTER)
}
