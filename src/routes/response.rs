//! Answers that several routes give.

use super::json_body::{self, CHUNK};
use crate::{
    error::Error,
    middleware::LOG_EPOCH,
    model::{Epoch, Message, Since},
    rate_limit::{LimitKey, Reservation},
    service::{Page, PageReads},
};
use axum::{
    Json,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// The most bytes that a byte of text takes in JSON, as in `\u0001`.
const ESCAPED: usize = 6;

/// Returns 201 with the created resource, and its path in `Location`.
pub(super) fn created(path: &str, thing: impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(thing)).into_response();
    put(&mut response, header::LOCATION, path);
    response
}

/// Returns 200 with a page, which holds `memory` until it is sent. If more rows follow, `next` makes the path
/// of the `Link` from the last row.
pub(super) fn list<T>(
    page: Page<T>,
    memory: Reservation,
    next: impl FnOnce(&T) -> String,
) -> Response
where
    T: Serialize + Send + 'static,
{
    let link = page.rows.last().filter(|_| page.more).map(next);
    linked(page.rows, memory, link)
}

/// Returns 200 with a page of a log, like `list`, and names the epoch of the log. The `Link` names it too, if the caller
/// gave an epoch with `since`.
pub(super) fn log<T>(
    page: Page<T>,
    memory: Reservation,
    (since, epoch): (&Since, &Epoch),
    next: impl FnOnce(&T) -> String,
) -> Response
where
    T: Serialize + Send + 'static,
{
    let named = since.epoch.as_ref();
    let named = named.map_or_else(String::new, |_| format!("&epoch={}", epoch.as_str()));
    let mut response = list(page, memory, |last| next(last) + &named);
    put(&mut response, LOG_EPOCH, epoch.as_str());
    response
}

/// Returns 200 with the rows of a page, and a `Link` to the path of the next page if there is one.
pub(super) fn linked<T>(rows: Vec<T>, memory: Reservation, next: Option<String>) -> Response
where
    T: Serialize + Send + 'static,
{
    let mut response = json(json_body::array(rows, memory));
    if let Some(path) = next {
        put(
            &mut response,
            header::LINK,
            &format!("<{path}>; rel=\"next\""),
        );
    }
    response
}

/// Returns 200 with a message. A text that can be longer than a chunk in JSON holds memory until it is sent.
///
/// # Errors
/// `unavailable` if the memory is not free in time.
pub(super) async fn message(
    reads: &PageReads,
    caller: LimitKey,
    message: Message,
) -> Result<Response, Error> {
    let escaped = ESCAPED * message.size();
    if escaped <= CHUNK {
        return Ok(Json(message).into_response());
    }
    let memory = reads.reserve(caller, message.memory() + escaped).await?;
    Ok(json(json_body::value(message, memory)))
}

fn json(body: Body) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, body).into_response()
}

/// Sets a header. A value that is invalid in a header is left out.
pub(super) fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
