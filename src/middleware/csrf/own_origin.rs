//! The server's own origin: the host, port and scheme under which a browser reached the server.

use crate::middleware::client_ip::ForwardedHost;
use axum::http::{HeaderMap, header};
use std::fmt;

/// Longest host name, in bytes (RFC 1035, section 2.3.4), brackets included.
const LONGEST_HOST: usize = 255;

/// The origin of the server's own pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnOrigin<'a> {
    /// The scheme that a trusted proxy reports. `None` if unknown: a page may then have either
    /// scheme.
    scheme: Option<&'a str>,
    host_port: HostPort<'a>,
}

impl<'a> OwnOrigin<'a> {
    /// Takes the host from a trusted proxy, else from `Host`. Returns `None` if the value is not a
    /// host name.
    pub(super) fn of(headers: &'a HeaderMap, called: &'a ForwardedHost) -> Option<Self> {
        let host = called.host.as_ref().or(headers.get(header::HOST))?;
        Some(Self {
            scheme: called.scheme.as_deref(),
            host_port: HostPort::parse(host.to_str().ok()?)?,
        })
    }

    /// Returns true if a page of this origin belongs to the server.
    pub(super) fn is(&self, origin: &str) -> bool {
        let Some((scheme, host_port)) = origin.split_once("://") else {
            return false;
        };
        let (Some(default), Some(page)) = (default_port(scheme), HostPort::parse(host_port)) else {
            return false;
        };
        let port = |host_port: &HostPort<'_>| host_port.port.unwrap_or(default);
        let is_same = page.host.eq_ignore_ascii_case(self.host_port.host)
            && port(&page) == port(&self.host_port);
        is_same && self.scheme.is_none_or(|own| own == scheme)
    }
}

impl fmt::Display for OwnOrigin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.unwrap_or("http");
        write!(f, "{scheme}://{}", self.host_port.host.to_ascii_lowercase())?;
        match self.host_port.port {
            Some(port) if default_port(scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// The host and port of an origin or of a `Host` header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort<'a> {
    /// The host name or address. An IPv6 address is in brackets.
    host: &'a str,
    port: Option<u16>,
}

impl<'a> HostPort<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // Within brackets a colon is part of an address.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (text, ""),
        };
        let port = match port {
            "" => None,
            digits => Some(digits.parse().ok()?),
        };
        let clean = (1..=LONGEST_HOST).contains(&host.len())
            && !host.contains(['/', '?', '#', '@', '\\', ' ', ',']);
        clean.then_some(Self { host, port })
    }
}

/// Returns the port that a browser leaves out, or `None` for other schemes, which the server's
/// pages never have.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own<'a>(scheme: Option<&'a str>, host: &'a str) -> Option<OwnOrigin<'a>> {
        let host_port = HostPort::parse(host)?;
        Some(OwnOrigin { scheme, host_port })
    }

    #[test]
    fn a_default_port_is_the_same_as_none() {
        for (scheme, host, origin, expected) in [
            (
                Some("https"),
                "chat.example:443",
                "https://chat.example",
                true,
            ),
            (
                Some("https"),
                "chat.example",
                "https://chat.example:443",
                true,
            ),
            (Some("http"), "chat.example:80", "http://chat.example", true),
            (None, "chat.example:443", "https://chat.example", true),
            (None, "chat.example:80", "http://chat.example", true),
            (None, "chat.example", "https://chat.example", true),
            (None, "Chat.Example:", "http://chat.example", true),
            (
                Some("https"),
                "[2001:db8::1]:443",
                "https://[2001:db8::1]",
                true,
            ),
            (None, "[::1]:8080", "http://[::1]:8080", true),
            // The port is not the default of the origin's scheme.
            (None, "chat.example:443", "http://chat.example", false),
            (None, "chat.example:80", "https://chat.example", false),
            (
                Some("https"),
                "chat.example:80",
                "https://chat.example",
                false,
            ),
            (Some("http"), "chat.example", "https://chat.example", false),
            (None, "chat.example:8443", "https://chat.example", false),
            (None, "[::1]", "http://[::1]:8080", false),
            // Not pages of this server.
            (None, "localhost", "capacitor://localhost", false),
            (None, "localhost", "https://evil@localhost", false),
            (None, "localhost", "localhost", false),
            (None, "localhost", "null", false),
            (None, "localhost", "http://localhost:99999", false),
            (None, "localhost", "http://localhost/", false),
        ] {
            let is = own(scheme, host).map(|own| own.is(origin));
            assert_eq!(is, Some(expected), "{scheme:?} {host} {origin}");
        }
    }

    #[test]
    fn an_invalid_host_is_no_origin() {
        let long = "a".repeat(LONGEST_HOST + 1);
        for wrong in ["", ":80", "a/b", "a@b", "a:b", "a:65536", "a, b", &long] {
            assert_eq!(own(None, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (scheme, host, expected) in [
            (None, "127.0.0.1:8080", "http://127.0.0.1:8080"),
            (Some("https"), "Chat.example:443", "https://chat.example"),
            (Some("http"), "chat.example:443", "http://chat.example:443"),
        ] {
            let written = own(scheme, host).map(|own| own.to_string());
            assert_eq!(written.as_deref(), Some(expected));
        }
    }
}
