//! Makes every request know its connection, and ends a connection whose request was not read whole.

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

/// A service whose every request carries its connection.
pub(super) fn attach(connection: Connection, service: Service) -> ConnectionService {
    ConnectionService {
        connection,
        service,
    }
}

/// A service whose requests know their connection.
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
            // What is left of a request ends its connection: the client is told, lest it send the
            // next one into the void.
            if !read.load(Ordering::Relaxed) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        })
    }
}

/// A body that tells whether it was read to its end.
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
