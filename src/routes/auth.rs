//! Extractors for the access rules: the type of a handler's parameter is its access rule. `Caller`
//! is a signed-in user, or anyone in open mode. `SignedIn` requires a session in either mode.
//! `OptionalSession` accepts a session. `LimitKey` is the caller for the limits of reads. A handler
//! with none of these parameters is open to everyone.

use crate::{
    auth::{Caller, SignedIn},
    error::Error,
    middleware::ClientAddress,
    rate_limit::{LimitKey, rate_limit_key},
    service::Client,
    state::AppState,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use std::convert::Infallible;

/// Longest user agent that is stored, in characters.
const USER_AGENT_CHARS: usize = 256;

/// The session of a request, or `None` if the request has no token. An invalid token is refused.
#[derive(Clone, Copy)]
pub(crate) struct OptionalSession(pub(crate) Option<SignedIn>);

impl FromRequestParts<AppState> for OptionalSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        if let Some(shown) = parts.extensions.get::<Self>() {
            return Ok(*shown);
        }
        let shown = match bearer(&parts.headers)? {
            Some(token) => Some(state.sessions.authenticate(token).await?),
            None => None,
        };
        if let Some(SignedIn { user, .. }) = shown {
            tracing::Span::current().record("user", user.0);
        }
        // Kept in the request, because a handler may extract the session twice, through different
        // types.
        parts.extensions.insert(Self(shown));
        Ok(Self(shown))
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let OptionalSession(shown) = OptionalSession::from_request_parts(parts, state).await?;
        state.sessions.caller(shown)
    }
}

impl FromRequestParts<AppState> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let OptionalSession(shown) = OptionalSession::from_request_parts(parts, state).await?;
        shown.ok_or_else(Error::not_signed_in)
    }
}

/// The caller that the reads of a request count for.
impl FromRequestParts<AppState> for LimitKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let OptionalSession(shown) = OptionalSession::from_request_parts(parts, state).await?;
        let ClientAddress(address) = ClientAddress::of(&parts.extensions);
        Ok(match shown {
            Some(SignedIn { user, .. }) => Self::User(user),
            None => Self::Address(rate_limit_key(address)),
        })
    }
}

impl FromRequestParts<AppState> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, Infallible> {
        Ok(Self {
            address: ClientAddress::of(&parts.extensions).0,
            user_agent: parts.headers.get(header::USER_AGENT).map(|name| {
                let name = String::from_utf8_lossy(name.as_bytes());
                let plain = name.chars().filter(|c| !c.is_control());
                plain.take(USER_AGENT_CHARS).collect()
            }),
        })
    }
}

/// Returns the token of `Authorization: Bearer`, or `None` without the header. A malformed or
/// repeated header is an error. A token is read from this header only, because a token in a URL
/// would be in every log on the way.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (first, another) = (given.next(), given.next());
    let Some(first) = first else {
        return Ok(None);
    };
    let text = first.to_str().ok().filter(|_| another.is_none());
    let token = text
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    token.map(Some).ok_or_else(Error::invalid_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(values: &[&'static str]) -> Result<Option<String>, ()> {
        let pair = |value: &&'static str| (header::AUTHORIZATION, HeaderValue::from_static(value));
        let headers: HeaderMap = {
            let mut map = HeaderMap::new();
            for (name, value) in values.iter().map(pair) {
                map.append(name, value);
            }
            map
        };
        bearer(&headers)
            .map(|token| token.map(str::to_owned))
            .map_err(drop)
    }

    #[test]
    fn a_token_comes_as_a_bearer_and_once() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(read(&["bearer abc"]), Ok(Some("abc".to_owned())));
        for wrong in [["abc"], ["Basic abc"], ["Bearer"], [""]] {
            assert_eq!(read(&wrong), Err(()), "{wrong:?}");
        }
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), Err(()));
    }
}
