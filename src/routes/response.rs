//! Answers that several routes give.

use crate::service::Page;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Returns 201 with the created resource, and its path in `Location`.
pub(super) fn created(path: &str, thing: impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(thing)).into_response();
    put(&mut response, header::LOCATION, path);
    response
}

/// Returns 200 with a page. If more rows follow, `next` makes the path of the `Link` from the last
/// row.
pub(super) fn list<T: Serialize>(page: Page<T>, next: impl FnOnce(&T) -> String) -> Response {
    let link = page.rows.last().filter(|_| page.more).map(next);
    linked(page.rows, link)
}

/// Returns 200 with the rows of a page, and a `Link` to the path of the next page if there is one.
pub(super) fn linked<T: Serialize>(rows: Vec<T>, next: Option<String>) -> Response {
    let mut response = Json(rows).into_response();
    if let Some(path) = next {
        put(
            &mut response,
            header::LINK,
            &format!("<{path}>; rel=\"next\""),
        );
    }
    response
}

/// Sets a header. A value that is invalid in a header is left out.
pub(super) fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
