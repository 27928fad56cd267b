//! A request id and a line in the log for every request.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller: it goes into the log.
const LONGEST_ID: usize = 128;

/// Takes the caller's `x-request-id` or makes one, returns it, and logs the request under it.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let id = request_id(&request);
    // The template, not the path: ids would make every line different.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        route
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.in_scope(|| tracing::info!(status, micros = begin.elapsed().as_micros(), "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let good = given.filter(|id| {
        let plain = id.as_bytes().iter().all(u8::is_ascii_graphic);
        plain && (1..=LONGEST_ID).contains(&id.len())
    });
    good.cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().simple().to_string();
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    })
}
