//! `/health`: for whoever keeps the server running.

use super::{auth::bearer, no_route};
use crate::{
    error::{Code, Error},
    metrics::Format,
    state::AppState,
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
}

/// 200 while the process answers at all.
async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// 200 while changes are stored; 503 `unavailable` otherwise. `link` tells whether the
/// server is connected to NATS, over which it hears the others.
async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Error> {
    let link = state.health.ready().await?;
    Ok(Json(json!({ "status": "ready", "link": link })))
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
    state.totals.refresh().await;
    let format = wanted(&headers);
    let text = state.exposition.text(format).map_err(Error::internal)?;
    let headers = [
        (header::CONTENT_TYPE, format.media_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    Ok((headers, text).into_response())
}

/// OpenMetrics where it is asked for by name and not after the text format of Prometheus, which everyone
/// else gets: browsers show it, and every tool reads it.
fn wanted(headers: &HeaderMap) -> Format {
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

/// The weight of a media range; 1 where none is given that can be read.
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
    fn the_format_is_the_one_that_is_asked_for() {
        // As Prometheus 2 and 3 ask, curl, a browser, and people.
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
            assert_eq!(wanted(&headers), format, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), Format::Plain);
    }
}
