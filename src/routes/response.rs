//! Answers that several routes give.

use crate::service::Page;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// 201 with the new thing and where it is.
pub(super) fn created(path: &str, thing: impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(thing)).into_response();
    put(&mut response, header::LOCATION, path);
    response
}

/// 200 with a page; where more follows, a `Link` to it, made from the last row.
pub(super) fn list<T: Serialize>(page: Page<T>, next: impl FnOnce(&T) -> String) -> Response {
    let link = page.rows.last().filter(|_| page.more).map(next);
    linked(page.rows, link)
}

/// 200 with the rows of a page, and where more follows, a `Link` to that path.
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

/// Sets a header, where its value can be one.
pub(super) fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
