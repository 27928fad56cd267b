//! The HTTP routes, one module per resource.

mod auth;
mod change;
mod chat;
mod docs;
mod extract;
mod json_body;
mod message;
mod openapi;
mod ops;
#[cfg(test)]
mod properties;
mod response;
mod session;
mod user;
mod web_client;

use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    Router,
    http::{Method, Uri},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use auth::OptionalSession;
pub(crate) use openapi::{complete, refusal};

/// Returns the routes of the API, of its documents and of the web page. `document` makes the OpenAPI
/// document of all routes, for `/openapi.json`.
pub(crate) fn router(document: fn(bool) -> OpenApi) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(user::router())
        .merge(chat::router())
        .merge(change::router())
        .merge(message::router())
        .merge(session::router())
        .merge(ops::router())
        .merge(web_client::router())
        .merge(docs::router(document))
}

/// Answers requests for unknown routes, and for unsupported methods of the routes that `router` has by now.
pub(crate) fn with_fallbacks(router: Router<AppState>) -> Router<AppState> {
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
}

async fn no_route(uri: Uri) -> Error {
    Error::new(Code::NotFound, format!("There is no route {}", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Error {
    let message = format!(
        "{} does not support {method}; the Allow header lists the supported methods",
        uri.path()
    );
    Error::new(Code::MethodNotAllowed, message)
}
