//! What a request knows of its connection.

use super::Service;
use axum::{body::Body, http::Request};
use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;

/// A connection: who is at its other end, and its place among those that may be open. A socket
/// keeps a clone, so that its place is taken until it closes.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address at the other end.
    pub peer: SocketAddr,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Connection {
    /// A connection that has got a place.
    #[must_use]
    pub fn new(peer: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        Self {
            peer,
            _permit: Arc::new(permit),
        }
    }

    /// Makes a service tell every request which connection it came on.
    #[must_use]
    pub fn attach(self, service: Service) -> Attached {
        Attached {
            connection: self,
            service,
        }
    }
}

/// A service whose requests know their connection.
#[derive(Clone)]
pub struct Attached {
    connection: Connection,
    service: Service,
}

impl tower::Service<Request<hyper::body::Incoming>> for Attached {
    type Response = <Service as tower::Service<Request<Body>>>::Response;
    type Error = <Service as tower::Service<Request<Body>>>::Error;
    type Future = <Service as tower::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::<Request<Body>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.connection.clone());
        self.service.call(request)
    }
}
