//! `/openapi.json`, `/asyncapi.yaml`, and `/docs`, a page that shows the OpenAPI document. The
//! viewer is embedded in the binary, and the page loads nothing from other servers.

use super::openapi::refusal;
use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OpenApi, RefOr, Schema, Type},
};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

/// The files of the page: the script of this server, and the files of the viewer.
const FILES: [&str; 3] = [OURS, "swagger-ui.css", "swagger-ui-bundle.js"];
const OURS: &str = "page.js";

/// The schema of a name in `FILES`.
struct FileName;

impl ToSchema for FileName {}

impl PartialSchema for FileName {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(Type::String);
        name.enum_values(Some(FILES)).into()
    }
}

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

/// The text of the OpenAPI document. It is built on the first request and kept as text, because the
/// tree takes some megabytes.
#[derive(Clone)]
struct Document {
    build: fn(bool) -> OpenApi,
    text: Arc<OnceLock<Bytes>>,
}

/// Returns the routes of the documents. `build` makes the OpenAPI document of all routes: of required
/// mode if its argument is true, else of open mode.
pub(super) fn router(build: fn(bool) -> OpenApi) -> OpenApiRouter<AppState> {
    let text = Arc::default();
    OpenApiRouter::new()
        .routes(routes!(document).layer(Extension(Document { build, text })))
        .routes(routes!(asyncapi))
        .routes(routes!(page))
        .routes(routes!(part))
}

/// Get this document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getDocument", tag = "service",
    responses((status = OK, description = "OpenAPI 3.1", body = Object)),
    security(()),
)]
async fn document(
    State(state): State<AppState>,
    Extension(Document { build, text }): Extension<Document>,
) -> impl IntoResponse {
    let text = text.get_or_init(|| {
        let document = build(state.sessions.caller(None).is_err());
        // Serialization does not fail, because all keys of the document are strings.
        document.to_json().unwrap_or_default().into()
    });
    ([(header::CONTENT_TYPE, "application/json")], text.clone())
}

/// Read this document as a web page
///
/// The page loads nothing from other sites.
#[utoipa::path(
    get, path = "/docs", operation_id = "readDocument", tag = "service",
    responses((status = OK, description = "The page", content((String = "text/html")))),
    security(()),
)]
async fn page() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (HEADERS, kind, PAGE)
}

/// Get a file of the document page
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "getDocumentFile", tag = "service",
    params(
        ("file" = inline(FileName), Path, description = "The name of the file",
            example = "page.js"),
    ),
    responses(
        (status = OK, description = "The file",
            content((String = "text/css"), (String = "text/javascript"))),
        refusal::NotFound,
    ),
    security(()),
)]
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
    // The file was compressed when the binary was built, and is not copied. Every browser decompresses it.
    let kind = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CONTENT_ENCODING, "gzip".to_owned()),
    ];
    Ok((HEADERS, kind, file.bytes).into_response())
}

const ASYNCAPI: &str = include_str!("../../../docs/asyncapi.yaml");

/// Get the WebSocket document
#[utoipa::path(
    get, path = "/asyncapi.yaml", operation_id = "getSocketDocument", tag = "service",
    responses((status = OK, description = "AsyncAPI 3", content((Object = "application/yaml")))),
    security(()),
)]
async fn asyncapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/yaml")], ASYNCAPI)
}
