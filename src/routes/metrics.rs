//! `/metrics`: what the server counts of itself, for Prometheus alone.

use super::{identity::bearer, no_route};
use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/metrics", get(metrics))
}

/// Where a token is set, whoever shows it is told; without one everybody is in open mode, and nobody
/// otherwise: then the route is not there.
async fn metrics(
    headers: HeaderMap,
    State(state): State<AppState>,
    uri: Uri,
) -> Result<Response, Error> {
    match &state.metrics_token {
        Some(token) if bearer(&headers)?.is_some_and(|shown| token.is(shown)) => {}
        Some(_) => {
            let message = "The metrics are for who shows the METRICS_TOKEN of this server";
            return Err(Error::new(Code::Unauthorized, message));
        }
        None if state.logins.caller(None).is_ok() => {}
        None => return Err(no_route(uri).await),
    }
    let text = state.exposition.text().map_err(Error::internal)?;
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
