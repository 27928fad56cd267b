//! Builds the service that serves every connection.

use crate::{middleware, routes, state::AppState, websocket};
use axum::Router;
use tower::Layer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};

/// All routes behind all middleware.
pub type Service = NormalizePath<Router>;

/// Builds the service for one listener.
pub fn service(state: AppState) -> Service {
    let routes = routes::router(&state).merge(websocket::router());
    let routes = routes::with_fallbacks(routes);
    // A trailing slash is removed before the route is matched.
    NormalizePathLayer::trim_trailing_slash().layer(middleware::apply(routes, state))
}
