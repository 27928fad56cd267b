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
    with_link(page, link)
}

/// The same for pages that go back in time: the link is made from the first row.
pub(super) fn list_back<T: Serialize>(page: Page<T>, next: impl FnOnce(&T) -> String) -> Response {
    let link = page.rows.first().filter(|_| page.more).map(next);
    with_link(page, link)
}

fn with_link<T: Serialize>(page: Page<T>, link: Option<String>) -> Response {
    let mut response = Json(page.rows).into_response();
    if let Some(path) = link {
        put(
            &mut response,
            header::LINK,
            &format!("<{path}>; rel=\"next\""),
        );
    }
    response
}

fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
