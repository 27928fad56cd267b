//! Parser of web origins. An origin must be written exactly as browsers write it; another spelling would
//! never match the `Origin` header.

use url::{Origin, Url};

const EXPECTED: &str =
    "must be scheme://host[:port] without a path, such as https://chat.example.com";

/// Parses an origin of pages that may use the API: a web origin, or the origin of an app with its own
/// scheme (`capacitor://localhost`). The origin is compared exactly as written, so any spelling other than
/// the browsers' is an error. The error shows the right spelling.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains('*') {
        return Err(format!(
            "{EXPECTED}; wildcards are not supported, so list each origin"
        ));
    }
    let Some((scheme, place)) = text.split_once("://") else {
        return Err(missing_scheme_error(text));
    };
    if place.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "wss" => Err(socket_url_error(scheme, place)),
        "file" | "ftp" | "data" | "blob" => Err(format!(
            "{EXPECTED}; pages of {scheme}: have the origin null, which all such pages share, so \
             they cannot be allowed"
        )),
        _ => match canonical(text) {
            Some(right) if right == text => Ok(right),
            Some(right) => Err(format!("{EXPECTED}; browsers write this origin as {right}")),
            None => Err(EXPECTED.to_owned()),
        },
    }
}

/// Returns the origin of a URL as browsers write it, or `None` if the text has no origin.
fn canonical(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    match url.origin() {
        origin @ Origin::Tuple(..) => Some(origin.ascii_serialization()),
        // Origin of an app. Browsers keep the case of its host.
        Origin::Opaque(_) => {
            let port = url.port().map_or(String::new(), |port| format!(":{port}"));
            let host = url.host_str().filter(|host| !host.is_empty())?;
            Some(format!("{}://{host}{port}", url.scheme()))
        }
    }
}

fn missing_scheme_error(text: &str) -> String {
    match canonical(&format!("https://{text}")) {
        Some(right) if !text.is_empty() && text != "null" => format!("{EXPECTED}; here {right}"),
        _ => EXPECTED.to_owned(),
    }
}

/// Returns the error for a `ws` or `wss` URL. The origin of a socket is that of the page that opens it.
fn socket_url_error(scheme: &str, place: &str) -> String {
    let of_pages = if scheme.eq_ignore_ascii_case("ws") {
        "http"
    } else {
        "https"
    };
    let right = canonical(&format!("{of_pages}://{place}"));
    let right = right.map_or(String::new(), |right| format!(": {right}"));
    format!("{EXPECTED}; a socket has the origin of its page{right}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_as_browsers_send_them_are_accepted() {
        for right in [
            "https://chat.example.com",
            "http://localhost:3000",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
            "tauri://localhost",
            "http://tauri.localhost",
            "ionic://localhost",
            "app://obsidian.md",
            "app://com.Example.App:8080",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://0b5e3a76-7c5a-4c0e-9b6e-2f3a1d1c9a10",
        ] {
            assert_eq!(origin(right).as_deref(), Ok(right));
            assert_eq!(origin(&format!(" {right} ")).as_deref(), Ok(right));
        }
    }

    #[test]
    fn an_origin_that_can_never_match_is_refused_with_the_right_one() {
        for (wrong, right) in [
            ("*", "wildcard"),
            ("https://*.example.com", "wildcard"),
            ("null", "https://chat.example.com"),
            ("", "https://chat.example.com"),
            ("https://", "https://chat.example.com"),
            ("capacitor://", "https://chat.example.com"),
            ("https://a b", "https://chat.example.com"),
            ("https://a:99999", "https://chat.example.com"),
            ("file:///index.html", "null"),
            ("chat.example.org", "here https://chat.example.org"),
            ("localhost:3000", "here https://localhost:3000"),
            ("https://chat.example.org/", "as https://chat.example.org"),
            (
                "https://chat.example.org/app",
                "as https://chat.example.org",
            ),
            ("https://chat.example.org?a", "as https://chat.example.org"),
            ("https://me@chat.example.org", "as https://chat.example.org"),
            ("https://Chat.Example.org", "as https://chat.example.org"),
            ("HTTPS://chat.example.org", "as https://chat.example.org"),
            (
                "https://chat.example.org:443",
                "as https://chat.example.org",
            ),
            ("http://chat.example.org:080", "as http://chat.example.org"),
            ("https://bücher.example", "as https://xn--bcher-kva.example"),
            ("http://[0:0:0:0:0:0:0:1]", "as http://[::1]"),
            ("http://0x7f.1", "as http://127.0.0.1"),
            ("capacitor://localhost/", "as capacitor://localhost"),
            ("Tauri://localhost", "as tauri://localhost"),
            (
                "wss://chat.example.org/ws",
                "page: https://chat.example.org",
            ),
            ("ws://localhost:8080", "page: http://localhost:8080"),
        ] {
            let error = origin(wrong).err().unwrap_or_default();
            let ends =
                error.ends_with(right) || error.contains("wildcard") || error.contains("null");
            assert!(
                error.starts_with("must be") && ends && error.contains(right),
                "{wrong}: {error}"
            );
        }
    }
}
