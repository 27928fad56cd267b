//! `/openapi.json`, `/asyncapi.yaml`, and `/docs`, a page that shows the OpenAPI document. The
//! viewer is embedded in the binary, and the page loads nothing from other servers.

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

/// The files of the page: the script of this server, and the files of the viewer.
pub(super) const FILES: [&str; 3] = [OURS, "swagger-ui.css", "swagger-ui-bundle.js"];
const OURS: &str = "page.js";

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// The headers of the page, which allow more than those of other answers: the viewer draws icons
/// from `data:` URLs, and sends the requests that a reader tries out to this server.
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
    // Built on the first request and kept as text, because the tree takes some megabytes.
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
    // Serialization does not fail, because all keys of the document are strings.
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
    // The file was compressed when the binary was built. Every browser decompresses it.
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
