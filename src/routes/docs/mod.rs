//! `/openapi.json`, and `/docs`, a page that shows it: the viewer comes with the binary, and the page
//! may load nothing from anywhere else.

use super::openapi;
use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    Router,
    extract::Path,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::OpenApi;

/// The parts of the page: what makes the viewer ours, and the viewer's own.
pub(super) const FILES: [&str; 3] = [OURS, "swagger-ui.css", "swagger-ui-bundle.js"];
const OURS: &str = "page.js";

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// What the page may load, beside what no answer may. The viewer draws its icons from `data:` and
/// asks this server what its reader tries out.
const HEADERS: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-cache"),
];

pub(super) fn router(state: &AppState) -> Router<AppState> {
    let sign_in = state.logins.caller(None).is_err();
    // Made when it is first asked for, and kept as text: as a tree it takes some megabytes.
    let document = Arc::new(LazyLock::new(move || text(&openapi::document(sign_in))));
    Router::new()
        .route(
            "/openapi.json",
            get(async move || json((*document).clone())),
        )
        .route("/asyncapi.yaml", get(asyncapi))
        .route("/docs", get(page))
        .route("/docs/{file}", get(part))
}

fn text(document: &OpenApi) -> Bytes {
    // Its keys are all texts: there is nothing in it that JSON could not hold.
    document.to_json().unwrap_or_default().into()
}

fn json(text: Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn page() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (HEADERS, kind, PAGE)
}

async fn part(Path(name): Path<String>) -> Result<Response, Error> {
    let missing = || Error::new(Code::NotFound, format!("The page has no part {name}"));
    if name == OURS {
        let kind = [(header::CONTENT_TYPE, "text/javascript")];
        return Ok((HEADERS, kind, SCRIPT).into_response());
    }
    if !FILES.contains(&name.as_str()) {
        return Err(missing());
    }
    let file = utoipa_swagger_ui::serve(&name, Arc::default())
        .map_err(|e| Error::internal(e.to_string()))?;
    let file = file.ok_or_else(missing)?;
    // Packed when the binary was built; every browser unpacks it.
    let kind = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CONTENT_ENCODING, "gzip".to_owned()),
    ];
    Ok((HEADERS, kind, file.bytes.into_owned()).into_response())
}

const ASYNCAPI: &str = include_str!("../../../docs/asyncapi.yaml");

async fn asyncapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/yaml")], ASYNCAPI)
}
