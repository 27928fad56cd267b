//! `/health` and `/metrics`, for supervisors and monitoring.

use super::{auth::bearer, no_route, openapi::refusal};
use crate::{
    error::{Code, Error},
    metrics::Format,
    state::AppState,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// Check that the process is alive
#[utoipa::path(
    get, path = "/health/live", operation_id = "isLive", tag = "service",
    responses(
        (status = OK, description = "The process is alive", body = Object,
            example = json!({ "status": "live" })),
    ),
    security(()),
)]
async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Check that changes can be stored
///
/// Reports the outcome of the last change, or of a small test write, made at most once a second.
/// `link` is the state of the connection to NATS, which links several servers: `up`, `down`, or
/// `none` on a single server.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "isReady", tag = "service",
    responses(
        (status = OK, description = "Changes can be stored", body = Object,
            example = json!({ "status": "ready", "link": "none" })),
    ),
    security(()),
)]
async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Error> {
    let link = state.health.ready().await?;
    Ok(Json(json!({ "status": "ready", "link": link })))
}

/// Get the metrics
///
/// Metrics for Prometheus, in its text format, or in the OpenMetrics format if `Accept` asks for
/// it. `docs/METRICS.md` lists all metrics. If `METRICS_TOKEN` is set, it is the required bearer
/// token. In required mode without `METRICS_TOKEN`, the route does not exist (404).
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "service",
    responses(
        (status = OK, description = "The metrics, in the requested format",
            content((String = "text/plain"), (String = "application/openmetrics-text"))),
        refusal::NotFound,
    ),
    security(("metricsToken" = [])),
)]
async fn metrics(
    headers: HeaderMap,
    State(state): State<AppState>,
    uri: Uri,
) -> Result<Response, Error> {
    match &state.metrics_token {
        Some(token) if bearer(&headers)?.is_some_and(|shown| token.is(shown)) => {}
        Some(_) => {
            let message = "The metrics require the METRICS_TOKEN of this server: send it as \
                           Authorization: Bearer";
            return Err(Error::new(Code::Unauthorized, message));
        }
        None if state.sessions.caller(None).is_ok() => {}
        None => return Err(no_route(uri).await),
    }
    state.totals.refresh().await;
    let format = accepted_format(&headers);
    let text = state.exposition.text(format).map_err(Error::internal)?;
    let headers = [
        (header::CONTENT_TYPE, format.media_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    Ok((headers, text).into_response())
}

/// Returns OpenMetrics if the client names that format and does not prefer plain text. Every other
/// client gets the text format of Prometheus, which browsers display and every tool reads.
fn accepted_format(headers: &HeaderMap) -> Format {
    let (mut open, mut plain) = (0.0, 0.0);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = match name.trim().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => &mut open,
                "text/plain" => &mut plain,
                _ => continue,
            };
            *weight = quality(parameters).max(*weight);
        }
    }
    match open > 0.0 && open >= plain {
        true => Format::OpenMetrics,
        false => Format::Plain,
    }
}

/// Returns the weight of a media range. 1 if the weight is absent or unreadable.
fn quality(parameters: &str) -> f32 {
    let mut pairs = parameters
        .split(';')
        .filter_map(|pair| pair.split_once('='));
    let weight = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let weight = weight.and_then(|(_, value)| value.trim().parse().ok());
    weight.unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_accept_header_selects_the_format() {
        // Values sent by Prometheus 2 and 3, curl and a browser, and values written by hand.
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Plain),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Q=0.1", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Plain),
            (
                "application/openmetrics-text;q=0.1, text/plain",
                Format::Plain,
            ),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Format::Plain),
            ("*/*", Format::Plain),
            ("", Format::Plain),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepted_format(&headers), format, "{accept}");
        }
        assert_eq!(accepted_format(&HeaderMap::new()), Format::Plain);
    }
}
