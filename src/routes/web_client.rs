//! `/`: the chat page. The files of `web/` are embedded in the binary and load nothing from other
//! servers.

use crate::{error::Error, state::AppState};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::{Embed, EmbeddedFile};
use std::borrow::Cow;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The content security policy of the page: it loads and runs only files of this server, and
/// connects only to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// The file that is served as `/`.
const PAGE: &str = "index.html";
/// The mode of the server as an attribute of the page, so that the page needs no request before it
/// can show the right form.
const OPEN: &str = "data-auth=\"open\"";
const REQUIRED: &str = "data-auth=\"required\"";

/// The files of `web/`.
#[derive(Embed)]
#[folder = "web/"]
struct Web;

pub(super) fn router() -> OpenApiRouter<AppState> {
    let page = OpenApiRouter::new().routes(routes!(page));
    let files = Web::iter().filter(|name| name != PAGE);
    files.fold(page, |router, name| {
        let path = format!("/{name}");
        router.route(&path, get(async move |headers| file(&name, &headers)))
    })
}

/// Open the chat page
///
/// The web client. Its files, such as `/app.js`, are not part of the API.
#[utoipa::path(
    get, path = "/", operation_id = "openPage", tag = "service",
    responses(
        (status = OK, description = "The page", content((String = "text/html"))),
        (status = NOT_MODIFIED,
            description = "The client has this page already: `If-None-Match` holds its `ETag`"),
    ),
    security(()),
)]
async fn page(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    let page = embedded(PAGE)?;
    // A request without a session has a caller in open mode only.
    if state.sessions.caller(None).is_ok() {
        return Ok(answer(&headers, &page, "open", page.data.clone()));
    }
    let text = String::from_utf8_lossy(&page.data).replacen(OPEN, REQUIRED, 1);
    let text = Cow::Owned(text.into_bytes());
    Ok(answer(&headers, &page, "required", text))
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let file = embedded(name)?;
    Ok(answer(headers, &file, "", file.data.clone()))
}

fn embedded(name: &str) -> Result<EmbeddedFile, Error> {
    Web::get(name).ok_or_else(|| Error::internal(format!("web/{name} is not embedded")))
}

/// Returns 200, or 304 if the browser already has this version. The browser asks on each load, so
/// that a new version of the server never meets an old page. `mode` tells apart the versions of a
/// file that depends on the mode of the server.
fn answer(
    headers: &HeaderMap,
    file: &EmbeddedFile,
    mode: &str,
    bytes: Cow<'static, [u8]>,
) -> Response {
    let hash = hex::encode(file.metadata.sha256_hash());
    let tag = format!("\"{hash}{mode}\"");
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| *known == *tag);
    let fixed = [
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    let kind = [(header::CONTENT_TYPE, media_type(file.metadata.mimetype()))];
    (fixed, kind, bytes).into_response()
}

/// Returns the content type of a file from the type that its extension has.
fn media_type(guessed: &str) -> String {
    match guessed {
        // The type of `.ts`, which is TypeScript here and a video elsewhere.
        "video/vnd.dlna.mpeg-tts" => "text/plain; charset=utf-8".to_owned(),
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}
