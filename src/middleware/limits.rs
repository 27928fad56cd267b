//! Limits on the size of a request's head, and rate limits per client address.

use super::client_ip::ClientAddress;
use crate::{
    error::{Code, Error},
    rate_limit::{KeyedRateLimiter, rate_limit_key},
    state::AppState,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, StatusCode, Version, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// Bytes around the name and value of a header: a colon, a space and the end of the line.
const HEADER_OVERHEAD: usize = 4;

/// Refuses a head over its limits, and an HTTP/1.1 head without exactly one `Host`. The connection
/// ends with the answer, because a client that sends such heads is not worth waiting for.
pub(crate) async fn limit_head(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let limits = &state.limits;
    let url = request
        .uri()
        .path_and_query()
        .map_or(0, |url| url.as_str().len());
    if url > limits.url {
        let error = Error::too_large("The path and query", limits.url);
        return close(StatusCode::URI_TOO_LONG, error);
    }
    let headers = request.headers();
    let of_headers: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD)
        .sum();
    let hosts = headers.get_all(header::HOST).iter().count();
    let error = if url + of_headers > limits.head {
        Error::too_large("The request line and the headers together", limits.head)
    } else if headers.len() > limits.headers {
        let message = format!("A request must have at most {} headers", limits.headers);
        Error::new(Code::TooLarge, message)
    } else if request.version() == Version::HTTP_11 && hosts != 1 {
        // A proxy in front of the server might have used another one of the headers.
        let error = Error::invalid_field("Host", "given exactly once");
        return close(StatusCode::BAD_REQUEST, error);
    } else {
        return next.run(request).await;
    };
    close(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error)
}

fn close(status: StatusCode, error: Error) -> Response {
    let mut response = error.into_response();
    *response.status_mut() = status;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Applies the request rate limit of the client's address. Health checks are exempt, so that
/// monitoring always works.
pub(crate) async fn limit_requests(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path().starts_with("/health/") {
        return next.run(request).await;
    }
    let address = ClientAddress::of(request.extensions());
    match within_rate(&state.requests, address, "requests from this address") {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Applies the password rate limit of the client's address. The first argument of handlers that
/// receive a password: passwords are hashed a few at a time, and one address must not take all hash
/// permits.
pub(crate) struct PasswordRate;

impl FromRequestParts<AppState> for PasswordRate {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let address = ClientAddress::of(&parts.extensions);
        within_rate(&state.passwords, address, "passwords from this address").map(|()| Self)
    }
}

fn within_rate(
    limiter: &KeyedRateLimiter<IpAddr>,
    ClientAddress(address): ClientAddress,
    what: &str,
) -> Result<(), Error> {
    limiter.take(&rate_limit_key(address), what)
}
