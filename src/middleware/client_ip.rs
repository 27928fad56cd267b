//! Where a request comes from. Behind a proxy every connection is the proxy's: who is behind it,
//! and under which name the server was called, stands in headers that anyone could have written.
//! They are believed as far as trusted proxies wrote them.

#[cfg(test)]
mod tests;

pub(crate) use super::Connection;
use crate::{rate_limit::TrustedProxies, state::AppState};
use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The address of whoever asks: the other end of the connection, or who a trusted proxy says is at
/// the other end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// As the outermost layer told the request.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let nobody = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        extensions.get().copied().unwrap_or(nobody)
    }
}

/// What a trusted proxy says the server was called: the name and port, and the scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedHost {
    pub(super) host: Option<HeaderValue>,
    /// `http` or `https`, where a proxy says nothing else.
    pub(super) scheme: Option<String>,
}

/// Tells every request where it comes from.
pub(crate) async fn resolve(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request
        .extensions()
        .get()
        .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |c: &Connection| {
            c.peer.ip()
        });
    let address = client(peer, request.headers(), &state.proxies);
    let called = called_as(peer, request.headers(), &state.proxies);
    request.extensions_mut().insert(ClientAddress(address));
    request.extensions_mut().insert(called);
    next.run(request).await
}

/// Who asks. Each proxy writes down who asked it, after what it was told itself: read from the end,
/// the first that is no proxy of ours is the client, and what stands before it is the client's tale.
/// Where the two headers name different ones, one of them is a tale as a whole, and neither counts.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contain(peer) {
        return peer;
    }
    let plain = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let hops = values(headers, X_FORWARDED_FOR).flat_map(|line| line.rsplit(','));
        first_untrusted(peer, hops.map(address), proxies)
    });
    let standard = headers.contains_key(header::FORWARDED).then(|| {
        // A comma within quotes ends a hop too: no address holds one, and a quote that a client left
        // open must not swallow what a proxy wrote after it.
        let hops = values(headers, header::FORWARDED).flat_map(|line| line.rsplit(','));
        first_untrusted(
            peer,
            hops.map(|hop| address(parameter(hop, "for")?)),
            proxies,
        )
    });
    match (plain, standard) {
        (Some(plain), Some(standard)) if plain != standard => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// A header's lines, the last first. What is no text ends the list: it is nobody's address.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .rev()
        .map(|line| line.to_str().unwrap_or_default())
}

/// The first hop that is not trusted, else the last one; what is no address hides those behind it.
fn first_untrusted(
    peer: IpAddr,
    mut hops: impl Iterator<Item = Option<IpAddr>>,
    proxies: &TrustedProxies,
) -> IpAddr {
    let mut client = peer;
    while let (true, Some(Some(hop))) = (proxies.contain(client), hops.next()) {
        client = hop;
    }
    client
}

/// An address as proxies write it: alone, in brackets, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    let address = address.or_else(|| text.parse().ok().map(|place: SocketAddr| place.ip()));
    address.map(|address| address.to_canonical())
}

/// A parameter of one hop of a `Forwarded` header (RFC 7239), without its quotes.
fn parameter<'a>(hop: &'a str, name: &str) -> Option<&'a str> {
    hop.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then_some(quoted.unwrap_or(value))
    })
}

/// What the server was called. The nearest proxy speaks: it stands last, or alone.
fn called_as(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> ForwardedHost {
    if !proxies.contain(peer) {
        return ForwardedHost::default();
    }
    let last = |name| values(headers, name).next()?.rsplit(',').next();
    let hop = last(header::FORWARDED);
    let said = |name, parameter_name| {
        Some(
            last(name)
                .or_else(|| parameter(hop?, parameter_name))?
                .trim(),
        )
    };
    ForwardedHost {
        host: said(X_FORWARDED_HOST, "host").and_then(|host| HeaderValue::from_str(host).ok()),
        scheme: said(X_FORWARDED_PROTO, "proto").map(page_scheme),
    }
}

/// The scheme of the page behind a request. Some proxies name a socket's own scheme on its upgrade.
fn page_scheme(scheme: &str) -> String {
    match scheme.to_ascii_lowercase().as_str() {
        "ws" => "http".to_owned(),
        "wss" => "https".to_owned(),
        other => other.to_owned(),
    }
}
