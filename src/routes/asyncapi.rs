//! `/asyncapi.yaml`: the WebSocket, described for people and generators.

use crate::state::AppState;
use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

const DOCUMENT: &str = include_str!("../../docs/asyncapi.yaml");

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/asyncapi.yaml", get(document))
}

async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/yaml")], DOCUMENT)
}
