//! The middleware that every request passes before its route.

pub(crate) mod client_ip;
pub(crate) mod connection;
pub(crate) mod csrf;
pub(crate) mod limits;
#[cfg(test)]
mod properties;
pub(crate) mod request_log;

use crate::{error::Error, state::AppState};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use std::any::Any;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use client_ip::ClientAddress;
pub(crate) use connection::too_many_connections;
pub use connection::{Connection, ConnectionPermits, Input, Refused};
pub(crate) use csrf::SameSite;
pub(crate) use limits::PasswordRate;
pub(crate) use request_log::log_rate_limited;

/// The header with the epoch of the log that the seqs of a page belong to.
pub(crate) const LOG_EPOCH: HeaderName = HeaderName::from_static("log-epoch");

/// Wraps the routes in all middleware. The first layer in this list is the innermost.
pub(crate) fn apply(routes: Router<AppState>, state: AppState) -> Router {
    let routes = routes
        // Bodies are read whole, so their size is bounded.
        .layer(DefaultBodyLimit::max(state.limits.body))
        // A request that exceeds its time limit is answered instead of held.
        .layer(from_fn_with_state(state.clone(), limit_time))
        // Pages of other sites change nothing.
        .layer(from_fn_with_state(state.clone(), csrf::guard_changes))
        // Each client address keeps its request rate.
        .layer(from_fn_with_state(state.clone(), limits::limit_requests))
        // Pages of allowed origins may read the answers.
        .layer(csrf::cors(&state.origins))
        // In open mode on loopback, a request for another host name is an attack (DNS rebinding).
        .layer(from_fn_with_state(state.clone(), csrf::guard_host))
        // A head over its limits is answered if it is at most twice as large as allowed.
        .layer(from_fn_with_state(state.clone(), limits::limit_head))
        // A panic costs one request, not the connection.
        .layer(CatchPanicLayer::custom(after_panic))
        // A connection over a limit receives an error.
        .layer(from_fn(connection::refuse_over_limit))
        // Every answer carries security headers for browsers.
        .layer(map_response(add_security_headers))
        // Every answer has a request id and a log line, and is counted.
        .layer(from_fn_with_state(state.clone(), request_log::observe))
        // Outermost: every request carries its client address.
        .layer(from_fn_with_state(state.clone(), client_ip::resolve));
    routes.with_state(state)
}

async fn limit_time(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::in_doubt().into_response(),
    }
}

fn after_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    Error::internal("a handler panicked").into_response()
}

/// Headers of every answer: browsers guess no content type, show the answer in no frame, send no
/// referrer, and let no other site embed the answer.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Headers of every answer for which the handler sets no others. An answer of the API is not a
/// page, so it loads and runs nothing. It contains private data, so caches must not store it.
const DEFAULT_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Sets the security headers of an answer.
pub(super) async fn add_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, value);
    }
    for (name, value) in DEFAULT_HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}
