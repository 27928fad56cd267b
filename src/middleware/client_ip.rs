//! Determines the client address and the external host name of a request. Behind a proxy every
//! connection comes from the proxy. The client's address and the host name are in `X-Forwarded-*`
//! headers. Any client could have written them, so only the entries of trusted proxies count. The
//! `Forwarded` header (RFC 7239) is not read: with two sources, a client could forge the one that its
//! proxy does not write.

#[cfg(test)]
mod tests;

pub(crate) use super::Connection;
use crate::{rate_limit::TrustedProxies, state::AppState};
use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The address of the client: the peer of the connection, or the peer that a trusted proxy reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// Returns the address that `resolve` has stored in the request, or `::` if there is none.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let unknown = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        extensions.get().copied().unwrap_or(unknown)
    }
}

/// The host name with port, and the scheme, under which a trusted proxy received the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedHost {
    pub(super) host: Option<HeaderValue>,
    /// `http` or `https`, unless the proxy reports another scheme. `None` if no trusted proxy
    /// reports one.
    pub(super) scheme: Option<String>,
}

/// Stores the client address and the forwarded host in the extensions of a request.
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
    let forwarded = forwarded_host(peer, request.headers(), &state.proxies);
    request.extensions_mut().insert(ClientAddress(address));
    request.extensions_mut().insert(forwarded);
    next.run(request).await
}

/// Returns the address of the client. Each proxy appends the address of its peer. The list is read
/// from the right, and the first address that is not a trusted proxy is the client, or the last
/// address if all are trusted. Everything left of the client is client-controlled. An entry that is
/// not an address hides the entries before it.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let hops = values(headers, X_FORWARDED_FOR).flat_map(|line| line.rsplit(','));
    let mut hops = hops.map(address);
    let mut client = peer.to_canonical();
    while let (true, Some(Some(hop))) = (proxies.contain(client), hops.next()) {
        client = hop;
    }
    client
}

/// Returns the lines of a header, the last line first. A line that is not text becomes empty, so it
/// ends the list: it is not an address.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .rev()
        .map(|line| line.to_str().unwrap_or_default())
}

/// Parses an address as proxies write it: bare or in brackets, with or without a port.
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

/// Returns the forwarded host. The entry of the nearest proxy counts: the last or only one.
fn forwarded_host(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> ForwardedHost {
    if !proxies.contain(peer) {
        return ForwardedHost::default();
    }
    let last = |name| Some(values(headers, name).next()?.rsplit(',').next()?.trim());
    ForwardedHost {
        host: last(X_FORWARDED_HOST).and_then(|host| HeaderValue::from_str(host).ok()),
        scheme: last(X_FORWARDED_PROTO).map(page_scheme),
    }
}

/// Returns the scheme of the page behind a request. Some proxies report the scheme of a socket
/// (`ws`) on its upgrade.
fn page_scheme(scheme: &str) -> String {
    match scheme.to_ascii_lowercase().as_str() {
        "ws" => "http".to_owned(),
        "wss" => "https".to_owned(),
        other => other.to_owned(),
    }
}
