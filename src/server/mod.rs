//! The listening socket: accepts connections within bounds and speaks HTTP/1.1 on them.

mod connection;
mod router;
mod tcp_stream;

pub(crate) use crate::{
    middleware::{Connection, ConnectionPermits, Refused},
    rate_limit::{ConcurrencyLimiter, TrustedProxies, rate_limit_key},
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
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use router::{Service, service};

/// Pause after a failed accept, most often for want of file descriptors: trying again at once
/// would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a failed accept is logged.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);
/// Connections beyond the limit that are told so at once, and not only closed: enough to tell
/// people from a flood, which is not worth answering.
pub(super) const TURNED_AWAY: usize = 256;
/// How long such a connection may take to ask.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(2);
/// What a socket's task is given beyond its own limit before the stream gives up under it.
const WRITE_GRACE: Duration = Duration::from_secs(5);

/// What the listener is held to.
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimits {
    /// A place for each connection that may be open.
    pub(crate) permits: Arc<Semaphore>,
    /// The connections of each address.
    pub(super) of_address: ConcurrencyLimiter<IpAddr>,
    /// Whose connections are those of many.
    pub(super) proxies: TrustedProxies,
    /// How long a request's head may take to arrive.
    pub(super) head_limit: Duration,
    /// How long the other side may take to accept what it is sent.
    pub(super) write_limit: Duration,
    /// Largest head of a request, in bytes, and most headers. Twice as much is read, so that what
    /// is only somewhat too large is answered in the words of the API.
    pub(super) head: usize,
    pub(super) headers: usize,
}

/// Accepts connections, and serves each in a task of its own.
pub(super) struct Acceptor {
    service: Service,
    bounds: ConnectionLimits,
    room: Arc<Semaphore>,
    /// For those that there is no room for.
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
            overflow: Arc::new(Semaphore::new(TURNED_AWAY)),
            bounds,
            stopping,
            connections,
        }
    }

    /// Accepts connections until `shutdown`.
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

    /// Finds room for a connection. Without any it is told so; where too many are being told, it is
    /// closed.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let address = rate_limit_key(peer.ip());
        // Behind a proxy are many, who are counted one by one when they open a socket.
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
        let connection = Connection::new(peer, room, refused);
        let head_limit = match refused {
            None => self.bounds.head_limit,
            Some(_) => self.bounds.head_limit.min(TURN_AWAY_LIMIT),
        };
        let serving = self.serve(stream, connection, head_limit);
        self.connections.spawn(serving);
    }

    /// Serves a connection to its end.
    fn serve(
        &self,
        stream: TcpStream,
        connection: Connection,
        head_limit: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Frames are gathered before they are written; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let stopping = self.stopping.clone();
        let stream = DeadlineStream::new(
            stream,
            connection.clone(),
            self.bounds.write_limit + WRITE_GRACE,
            self.connections.clone(),
            stopping.clone(),
        );
        let service =
            TowerToHyperService::new(connection::attach(connection, self.service.clone()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // A client that has said all it has to say still gets its answer.
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

/// Whether a connection was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
