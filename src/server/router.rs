//! Builds the service that serves every connection.

use crate::{middleware, routes, state::AppState, websocket};
use axum::Router;
use tower::Layer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// All routes behind all middleware.
pub type Service = NormalizePath<Router>;

/// Builds the service for one listener.
pub fn service(state: AppState) -> Service {
    let routes = routes::with_fallbacks(routes().into());
    // A trailing slash is removed before the route is matched.
    NormalizePathLayer::trim_trailing_slash().layer(middleware::apply(routes, state))
}

/// Builds the OpenAPI document for a server in required mode (`sign_in` is true) or in open mode.
#[must_use]
pub fn document(sign_in: bool) -> OpenApi {
    routes::complete(routes().into_openapi(), sign_in)
}

fn routes() -> OpenApiRouter<AppState> {
    routes::router(document).merge(websocket::router())
}
