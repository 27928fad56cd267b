//! Everything that a request passes before its route, in order.

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
pub(crate) use limits::hold_passwords;
pub(crate) use request_log::log_rate_limited;

/// The header with the epoch of the log that a page of changes counts in.
pub(crate) const LOG_EPOCH: HeaderName = HeaderName::from_static("log-epoch");

/// Everything that stands before the routes, the first last.
pub(crate) fn apply(routes: Router<AppState>, state: AppState) -> Router {
    let routes = routes
        // Bodies are read whole, so they are bounded.
        .layer(DefaultBodyLimit::max(state.limits.body))
        // What takes too long is answered instead of held.
        .layer(from_fn_with_state(state.clone(), limit_time))
        // Pages of other sites change nothing here.
        .layer(from_fn_with_state(state.clone(), csrf::guard_changes))
        // Nobody asks faster than they may.
        .layer(from_fn_with_state(state.clone(), limits::hold_to_pace))
        // Pages of allowed sites may read what they asked for.
        .layer(csrf::cors(&state.origins))
        // On loopback, other names for this server are an attack (DNS rebinding).
        .layer(from_fn_with_state(state.clone(), csrf::guard_host))
        // Heads that are too large are answered, up to twice their limit.
        .layer(from_fn_with_state(state.clone(), limits::bound_head))
        // A fault of ours costs one request, not the connection.
        .layer(CatchPanicLayer::custom(after_panic))
        // Who finds no room is told so.
        .layer(from_fn(connection::turn_away))
        // Every answer tells browsers what not to do with it.
        .layer(map_response(secure))
        // Every answer has a request id and a line in the log, and is counted.
        .layer(from_fn_with_state(state.clone(), request_log::observe))
        // Outermost: every request knows where it comes from.
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

/// Neither guessed at, framed, embedded by other sites, nor told on to where a link leads.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
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

/// What a page may have otherwise. An answer of the API is no page: it loads and runs nothing. It
/// holds what is private, so nobody keeps it.
const UNLESS_SAID: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Puts them on an answer.
pub(super) async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(value);
    }
    response
}
