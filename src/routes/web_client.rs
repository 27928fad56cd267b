//! `/`: the chat page, which is embedded in the binary and loads nothing from other servers.

use crate::state::AppState;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::hash::{DefaultHasher, Hasher};

/// The content security policy of the page: it loads and runs only files of this server, and
/// connects only to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// The mode of the server as an attribute of the page, so that the page needs no request before it
/// can show the right form.
const OPEN: &str = "data-auth=\"open\"";
const REQUIRED: &str = "data-auth=\"required\"";

/// A file of `web/`: its path, its content type and its text.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        (
            concat!("/", $name),
            $kind,
            include_str!(concat!("../../web/", $name)),
        )
    };
}

/// All files of the page, besides the page itself.
const FILES: &[(&str, &str, &str)] = &[
    file!("acts.js", SCRIPT),
    file!("announce.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("avatar.js", SCRIPT),
    file!("chat.css", STYLE),
    file!("chats.js", SCRIPT),
    file!("composer.js", SCRIPT),
    file!("connection.js", SCRIPT),
    file!("dialog.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("events.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("icon.svg", "image/svg+xml"),
    file!("keyboard.js", SCRIPT),
    file!("messages.js", SCRIPT),
    file!("messaging.d.ts", "text/plain; charset=utf-8"),
    file!("messaging.js", SCRIPT),
    file!("people.js", SCRIPT),
    file!("questions.js", SCRIPT),
    file!("row.js", SCRIPT),
    file!("session.js", SCRIPT),
    file!("sidebar.js", SCRIPT),
    file!("store.js", SCRIPT),
    file!("style.css", STYLE),
    file!("theme-switch.js", SCRIPT),
    file!("theme.js", SCRIPT),
    file!("timeline.js", SCRIPT),
    file!("welcome.js", SCRIPT),
];

pub(super) fn router(open: bool) -> Router<AppState> {
    let page = include_str!("../../web/index.html");
    let page = match open {
        true => page.to_owned(),
        false => page.replacen(OPEN, REQUIRED, 1),
    };
    let page = File::new("text/html; charset=utf-8", Bytes::from(page));
    let mut router = Router::new().route("/", get(async move |headers| page.answer(&headers)));
    for (path, kind, text) in FILES {
        let file = File::new(kind, Bytes::from_static(text.as_bytes()));
        router = router.route(path, get(async move |headers| file.answer(&headers)));
    }
    router
}

/// The answer of one path.
#[derive(Clone)]
struct File {
    kind: &'static str,
    tag: HeaderValue,
    bytes: Bytes,
}

impl File {
    fn new(kind: &'static str, bytes: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let tag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        Self {
            kind,
            tag: tag.unwrap_or(HeaderValue::from_static("\"-\"")),
            bytes,
        }
    }

    /// Returns 200, or 304 if the browser already has this version. The browser asks on each load,
    /// so that a new version of the server never meets an old page.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let fixed = [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::ETAG, self.tag.clone()),
            (
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(POLICY),
            ),
        ];
        if headers.get(header::IF_NONE_MATCH) == Some(&self.tag) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(self.kind))];
        (fixed, kind, self.bytes.clone()).into_response()
    }
}
