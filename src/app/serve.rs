//! The listening socket: accepts connections within bounds and speaks HTTP/1.1 on them.

use crate::routes::{Connection, Service};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Largest head of a request: its line and headers, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// Pause after a failed accept, most often for want of file descriptors: trying again at once
/// would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the listener is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most connections at once.
    pub(super) connections: usize,
    /// How long a request's head may take to arrive.
    pub(super) head_limit: Duration,
}

/// Accepts connections until `shutdown`.
pub(super) async fn accept(
    listener: TcpListener,
    service: Service,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
    stopping: &CancellationToken,
    connections: &TaskTracker,
) {
    let mut shutdown = pin!(shutdown);
    let room = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without room the connection is closed at once: waiting would only hide it.
                let Ok(permit) = room.clone().try_acquire_owned() else {
                    continue;
                };
                let connection = Connection::new(peer, permit);
                let serving = serve(
                    stream,
                    service.clone(),
                    connection,
                    bounds,
                    stopping.clone(),
                );
                connections.spawn(serving);
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                time::sleep(ACCEPT_PAUSE).await;
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

async fn serve(
    stream: TcpStream,
    service: Service,
    connection: Connection,
    bounds: Bounds,
    stopping: CancellationToken,
) {
    // Frames are gathered before they are written; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let service = connection.attach(service);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_limit)
        .max_buf_size(HEAD_BYTES);
    let serving = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut serving = pin!(serving);
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
