//! Adds the connection to each of its requests, and ends a connection after a request body that was
//! not read to its end.

use super::Service;
pub(crate) use crate::middleware::Connection;
use axum::{
    body::Body,
    http::{HeaderValue, Request, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Wraps the service so that each request carries its connection.
pub(super) fn attach(connection: Connection, service: Service) -> ConnectionService {
    ConnectionService {
        connection,
        service,
    }
}

/// A service that adds the connection to the extensions of each request.
#[derive(Clone)]
pub(super) struct ConnectionService {
    connection: Connection,
    service: Service,
}

impl tower::Service<Request<hyper::body::Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::<Request<Body>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let watched = |body| BodyMonitor {
            body,
            read: read.clone(),
        };
        let mut request = request.map(|body| Body::new(watched(body)));
        request.extensions_mut().insert(self.connection.clone());
        let answering = self.service.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            // An unread rest of the request body ends the connection. The header announces the end,
            // so that the client does not send its next request on this connection.
            if !read.load(Ordering::Relaxed) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        })
    }
}

/// A request body that records whether it was read to its end.
struct BodyMonitor {
    body: hyper::body::Incoming,
    read: Arc<AtomicBool>,
}

impl HttpBody for BodyMonitor {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
