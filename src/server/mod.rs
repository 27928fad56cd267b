//! The HTTP/1.1 server: accepts connections within limits and serves each in a task of its own.

mod connection;
mod router;
mod tcp_stream;

pub(crate) use crate::{
    middleware::{Connection, ConnectionPermits, Refused},
    rate_limit::{ConcurrencyLimiter, TrustedProxies, rate_limit_key},
    send_queue::SendQueue,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tcp_stream::DeadlineStream;
use tokio::{
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    select,
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use router::{Service, document, service};

/// Pause after a failed accept. The usual cause is a lack of file descriptors, and an immediate
/// retry would only burn CPU time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Shortest interval between log lines about failed accepts.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);
/// Connections over a limit that receive an error at once, before they are closed. The number is
/// enough for ordinary clients; a flood beyond it is closed without an answer.
pub(super) const MAX_REFUSED: usize = 256;
/// Time that a refused connection has to send its request.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(2);
/// Time that the task of a socket has beyond its own write limit, before the stream below it fails.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// The limits of the listener.
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimits {
    /// Permits for all open connections.
    pub(crate) permits: Arc<Semaphore>,
    /// Limits the open connections per client address.
    pub(super) of_address: ConcurrencyLimiter<IpAddr>,
    /// Trusted proxies. A connection of a proxy carries many clients, so the limit per address does
    /// not apply to it.
    pub(super) proxies: TrustedProxies,
    /// Time within which the head of a request must arrive.
    pub(super) head_limit: Duration,
    /// Time that the client has to accept the bytes that are written.
    pub(super) write_limit: Duration,
    /// Largest head of a request, in bytes. Up to twice the limits of `head` and `headers` are
    /// read, so that a slightly larger head receives an error of the API.
    pub(super) head: usize,
    /// Most headers of a request.
    pub(super) headers: usize,
}

/// Accepts connections, and serves each in a task of its own.
pub(super) struct Acceptor {
    service: Service,
    bounds: ConnectionLimits,
    room: Arc<Semaphore>,
    /// Permits for connections over a limit, which receive an error.
    overflow: Arc<Semaphore>,
    stopping: CancellationToken,
    connections: TaskTracker,
}

impl Acceptor {
    pub(super) fn new(
        service: Service,
        bounds: ConnectionLimits,
        stopping: CancellationToken,
        connections: TaskTracker,
    ) -> Self {
        Self {
            service,
            room: bounds.permits.clone(),
            overflow: Arc::new(Semaphore::new(MAX_REFUSED)),
            bounds,
            stopping,
            connections,
        }
    }

    /// Accepts connections until `shutdown` completes.
    pub(super) async fn accept(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = select! {
                () = &mut shutdown => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_PERIOD) {
                        complained = Some(Instant::now());
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Admits a connection within the limits. A connection over a limit receives an error. If too
    /// many connections are receiving an error, it is closed without one.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let address = rate_limit_key(peer.ip());
        // A connection of a proxy carries many clients. Each client is counted when it opens a
        // socket.
        let of_address = match self.bounds.proxies.contain(peer.ip()) {
            true => Ok(None),
            false => self.bounds.of_address.take(address).map(Some).ok_or(()),
        };
        let (room, refused) = match (of_address, self.room.clone().try_acquire_owned()) {
            (Ok(place), Ok(permit)) => (ConnectionPermits(permit, place), None),
            (of_address, _) => {
                let Ok(permit) = self.overflow.clone().try_acquire_owned() else {
                    return;
                };
                let refused = match of_address {
                    Ok(_) => Refused::ServerFull,
                    Err(()) => Refused::AddressFull,
                };
                (ConnectionPermits(permit, None), Some(refused))
            }
        };
        // Frames are buffered before they are written. Waiting for more (Nagle's algorithm) would only
        // delay them.
        let _ = stream.set_nodelay(true);
        let (reading, writing) = stream.into_split();
        let send_queue = Arc::new(SendQueue::new(writing));
        let connection = Connection::new(peer, send_queue, room, refused);
        let head_limit = match refused {
            None => self.bounds.head_limit,
            Some(_) => self.bounds.head_limit.min(TURN_AWAY_LIMIT),
        };
        let serving = self.serve(reading, connection, head_limit);
        self.connections.spawn(serving);
    }

    /// Serves a connection until it ends.
    fn serve(
        &self,
        reading: OwnedReadHalf,
        connection: Connection,
        head_limit: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let stopping = self.stopping.clone();
        let stream = DeadlineStream::new(
            reading,
            connection.clone(),
            self.bounds.write_limit + WRITE_GRACE,
            self.connections.clone(),
            stopping.clone(),
        );
        let service =
            TowerToHyperService::new(connection::attach(connection, self.service.clone()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // A client that has closed its sending side still receives its answer.
            .half_close(true)
            .header_read_timeout(head_limit)
            .max_buf_size(2 * self.bounds.head)
            .max_headers(2 * self.bounds.headers);
        async move {
            let serving = http.serve_connection(TokioIo::new(stream), service);
            let mut serving = pin!(serving.with_upgrades());
            let result = select! {
                result = &mut serving => result,
                () = stopping.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection broken");
            }
        }
    }
}

/// Returns true if the client closed the connection before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
