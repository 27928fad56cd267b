//! HTTP: every route, and what stands before all of them.

mod address;
mod asyncapi;
mod chat;
mod connection;
mod docs;
mod extract;
mod headers;
mod health;
mod identity;
mod limits;
mod message;
mod metrics;
mod observe;
mod openapi;
mod origin;
mod page;
#[cfg(test)]
mod properties;
mod read;
mod reply;
mod session;
mod user;
mod ws;

use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use std::any::Any;
use tower::Layer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    normalize_path::{NormalizePath, NormalizePathLayer},
};

pub use connection::{Connection, Refused, Room};
pub use openapi::document;

/// The whole of HTTP, for one listener.
pub type Service = NormalizePath<Router>;

/// Builds the routes with all that stands before them.
pub fn service(state: AppState) -> Service {
    let routes = Router::new()
        .merge(user::router(&state))
        .merge(chat::router(&state))
        .merge(message::router())
        .merge(session::router(&state))
        .merge(read::router())
        .merge(health::router())
        .merge(metrics::router())
        .merge(asyncapi::router())
        // Who has not signed in is somebody in open mode alone.
        .merge(page::router(state.logins.caller(None).is_ok()))
        .merge(ws::router(&state))
        .merge(docs::router(&state))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method);
    // A slash at the end is cut before a route is looked for.
    NormalizePathLayer::trim_trailing_slash().layer(stand_before(routes, state))
}

/// Everything that stands before the routes, the first last.
fn stand_before(routes: Router<AppState>, state: AppState) -> Router {
    let routes = routes
        // Bodies are read whole, so they are bounded.
        .layer(DefaultBodyLimit::max(state.limits.body))
        // What takes too long is answered instead of held.
        .layer(middleware::from_fn_with_state(state.clone(), limit_time))
        // Pages of other sites change nothing here.
        .layer(middleware::from_fn_with_state(
            state.clone(),
            origin::guard_changes,
        ))
        // Nobody asks faster than they may.
        .layer(middleware::from_fn_with_state(
            state.clone(),
            limits::hold_to_pace,
        ))
        // Pages of allowed sites may read what they asked for.
        .layer(origin::cors(&state.origins))
        // On loopback, other names for this server are an attack (DNS rebinding).
        .layer(middleware::from_fn_with_state(
            state.clone(),
            origin::guard_host,
        ))
        // Heads that are too large are answered, up to twice their limit.
        .layer(middleware::from_fn_with_state(
            state.clone(),
            limits::bound_head,
        ))
        // A fault of ours costs one request, not the connection.
        .layer(CatchPanicLayer::custom(after_panic))
        // Who finds no room is told so.
        .layer(middleware::from_fn(connection::turn_away))
        // Every answer tells browsers what not to do with it.
        .layer(middleware::map_response(headers::secure))
        // Every answer has a request id and a line in the log, and is counted.
        .layer(middleware::from_fn_with_state(
            state.clone(),
            observe::observe,
        ))
        // Outermost: every request knows where it comes from.
        .layer(middleware::from_fn_with_state(state.clone(), address::tell));
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

async fn no_route(uri: Uri) -> Error {
    Error::new(Code::NotFound, format!("There is no route {}", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Error {
    let message = format!(
        "{} does not take {method}; see the Allow header",
        uri.path()
    );
    Error::new(Code::MethodNotAllowed, message)
}
