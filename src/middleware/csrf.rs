//! Guards against cross-site requests: decides which web pages may use this server. A browser
//! reports the site of a request (`Origin`, `Sec-Fetch-Site`) and the host name that it looked up
//! (`Host`). Other clients send no such headers and are not restricted.

mod own_origin;

use super::LOG_EPOCH;
use super::client_ip::ForwardedHost;
use crate::{
    error::{Code, Error},
    state::AppState,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{
        Extensions, HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts,
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use own_origin::OwnOrigin;
use std::{net::IpAddr, time::Duration};
use tower_http::cors::{AllowOrigin, CorsLayer};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Headers that proxies add to a request, besides all headers that begin with `X-Forwarded-`.
const PROXY_HEADERS: [HeaderName; 3] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
];
/// Time for which a browser may cache the permissions of a page.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Refuses requests from pages of other sites if the method may change data.
pub(crate) async fn guard_changes(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let checked = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok(()),
        _ => check(request.headers(), request.extensions(), &state.origins),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Refuses requests from pages of other sites with any method. An argument of GET handlers that
/// have an effect.
pub(crate) struct SameSite;

impl FromRequestParts<AppState> for SameSite {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        check(&parts.headers, &parts.extensions, &state.origins).map(|()| Self)
    }
}

fn check(headers: &HeaderMap, extensions: &Extensions, allowed: &[String]) -> Result<(), Error> {
    let called = extensions.get::<ForwardedHost>();
    let called = called.cloned().unwrap_or_default();
    let own = OwnOrigin::of(headers, &called);
    match is_allowed(headers, own.as_ref(), allowed) {
        true => Ok(()),
        false => Err(Error::cross_site(own)),
    }
}

/// Refuses requests that do not come from this machine, if every caller is trusted because only
/// the user of the machine can connect: requests for a host other than a loopback name, and
/// requests through a proxy.
pub(crate) async fn guard_host(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST);
    if state.loopback_only && !host.is_none_or(is_loopback_name) {
        let message = "In open mode on a loopback address, this server accepts requests to \
                       localhost, 127.0.0.1 and [::1] only";
        return Error::new(Code::CrossSite, message).into_response();
    }
    match headers.keys().find(|name| is_proxy_header(name)) {
        Some(name) if state.refuse_proxied => {
            let message = format!(
                "This request came through a proxy (it has the header {name}), and without AUTH \
                 this server trusts only callers on its own machine: start the server with \
                 AUTH=required, or with AUTH=open to trust all callers of the proxy"
            );
            Error::new(Code::CrossSite, message).into_response()
        }
        _ => next.run(request).await,
    }
}

fn is_proxy_header(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || PROXY_HEADERS.contains(name)
}

/// Returns the layer that lets pages of the allowed origins read the answers.
pub(crate) fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let layer = CorsLayer::new().allow_origin(AllowOrigin::list(origins));
    layer
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            LOG_EPOCH,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(PREFLIGHT_AGE)
}

fn is_allowed(headers: &HeaderMap, own: Option<&OwnOrigin<'_>>, allowed: &[String]) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        return own.is_some_and(|own| own.is(origin))
            || allowed.iter().any(|allowed| allowed == origin);
    }
    match headers.get(SEC_FETCH_SITE) {
        // `none`: the user typed the address. `same-origin`: a page of this server. No header: not
        // a browser.
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    }
}

pub(super) fn is_loopback_name(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let by_name = name == "localhost" || name.ends_with(".localhost");
    by_name || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            Some((
                HeaderName::try_from(*name).ok()?,
                HeaderValue::try_from(*value).ok()?,
            ))
        };
        list.iter().filter_map(pair).collect()
    }

    fn welcome(list: &[(&str, &str)], called: &ForwardedHost, allowed: &[String]) -> bool {
        let headers = headers(list);
        is_allowed(&headers, OwnOrigin::of(&headers, called).as_ref(), allowed)
    }

    #[test]
    fn only_own_and_allowed_origins_are_accepted() {
        let allowed = vec!["https://chat.example.com".to_owned()];
        let direct = ForwardedHost::default();
        let host = ("host", "localhost:8080");
        for good in [
            vec![host],
            vec![host, ("origin", "http://localhost:8080")],
            vec![
                host,
                ("origin", "https://chat.example.com"),
                ("sec-fetch-site", "cross-site"),
            ],
            vec![host, ("sec-fetch-site", "none")],
            vec![host, ("sec-fetch-site", "same-origin")],
        ] {
            assert!(welcome(&good, &direct, &allowed), "{good:?}");
        }
        for wrong in [
            vec![host, ("origin", "null")],
            vec![host, ("origin", "http://localhost:3000")],
            vec![host, ("origin", "https://chat.example.com.evil.example")],
            vec![host, ("sec-fetch-site", "cross-site")],
            vec![host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!welcome(&wrong, &direct, &allowed), "{wrong:?}");
        }
    }

    #[test]
    fn behind_a_proxy_the_forwarded_host_is_the_own_origin() {
        let called = ForwardedHost {
            host: Some(HeaderValue::from_static("chat.example")),
            scheme: Some("https".to_owned()),
        };
        let from = |origin| {
            let list = [("host", "127.0.0.1:8080"), ("origin", origin)];
            welcome(&list, &called, &[])
        };
        assert!(from("https://chat.example"));
        for wrong in [
            "http://chat.example",
            "https://127.0.0.1:8080",
            "https://evil.example",
        ] {
            assert!(!from(wrong), "{wrong}");
        }
    }

    #[test]
    fn loopback_has_many_names() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:8080",
        ] {
            assert!(is_loopback_name(&HeaderValue::from_static(good)), "{good}");
        }
        for wrong in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "[::2]",
        ] {
            assert!(
                !is_loopback_name(&HeaderValue::from_static(wrong)),
                "{wrong}"
            );
        }
    }
}
