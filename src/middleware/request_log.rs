//! Gives every request an id, a log line and a count. The span of the request holds the client
//! address, and the user if known. A socket logs a line of its own when it closes, under the id of
//! its upgrade.

use super::client_ip::ClientAddress;
use crate::{
    error::{Code, TooFast},
    rate_limit::rate_limit_key,
    state::AppState,
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use http_body::Body as _;
use std::time::{Duration, Instant};
use tracing::{Instrument, field};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id accepted from a client, in bytes, because the id goes into the log.
const MAX_ID_BYTES: usize = 128;

/// The id of a request, for code that logs under it after the request is answered.
#[derive(Clone)]
pub(crate) struct XRequestId(pub(crate) HeaderValue);

/// Takes the caller's `x-request-id` or creates one, logs and counts the request under it, and
/// returns it in the answer.
pub(crate) async fn observe(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let id = request_id(&request);
    // The template, not the path: the ids in a path would make every line different.
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("-", MatchedPath::as_str);
    let method = request.method().clone();
    let ClientAddress(address) = ClientAddress::of(request.extensions());
    let address = rate_limit_key(address);
    let client = request.extensions().get();
    let client = client.map(|ClientAddress(address)| tracing::field::display(address));
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        %method,
        route,
        from = client,
        user = field::Empty
    );
    request.extensions_mut().insert(XRequestId(id.clone()));
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = begin.elapsed();
    let refused = response.extensions().get::<TooFast>();
    span.in_scope(|| {
        if let Some(TooFast(why)) = refused
            && let Some(left_out) = state.refusals.note(address)
        {
            log_rate_limited(why, left_out);
        }
        log_answer(route, &response, took);
    });
    let (metrics, status) = (&state.metrics, response.status().as_u16());
    metrics.request(method.as_str(), route, status, took);
    if let Some(code) = response.extensions().get::<Code>() {
        metrics.refusal(code.as_str(), "http");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Logs an answer. The size of a long page is unknown, because the page is encoded while it is sent.
fn log_answer(route: &str, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    let bytes = response.body().size_hint().exact();
    // Cut to 64 bits, because JSON numbers have no 128 bits.
    let micros = took.as_micros() as u64;
    let is_refusal_by_rate = response.extensions().get::<TooFast>().is_some();
    match is_refusal_by_rate || is_routine(route, status) {
        true => tracing::debug!(status, bytes, micros, "answered"),
        false => tracing::info!(status, bytes, micros, "answered"),
    }
}

/// Logs a refusal by rate. `left_out` is the number of earlier refusals without a log line.
pub(crate) fn log_rate_limited(why: &str, left_out: u64) {
    let code = Code::RateLimited.as_str();
    tracing::info!(code, why, left_out, "refused");
}

/// Returns true if a request is logged at debug level only. Health checks and scrapes arrive every
/// few seconds, so a successful one is not worth a line.
fn is_routine(route: &str, status: u16) -> bool {
    (route.starts_with("/health/") || route == "/metrics") && status < 400
}

fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let good = given.filter(|id| {
        let plain = id.as_bytes().iter().all(u8::is_ascii_graphic);
        plain && (1..=MAX_ID_BYTES).contains(&id.len())
    });
    good.cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().simple().to_string();
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    })
}
