//! Completes the declaration of one operation.

use super::refusal;
use crate::error::Code;
use std::mem;
use utoipa::openapi::{Ref, RefOr, Response, SecurityRequirement, path::Operation};

/// The name of the security scheme of session tokens.
pub(super) const TOKEN: &str = "token";
/// The name of the security scheme of the metrics token.
pub(super) const METRICS_TOKEN: &str = "metricsToken";
/// Errors that any request may receive.
const ALWAYS: [Code; 5] = [
    // A request must name exactly one host.
    Code::InvalidField,
    Code::CrossSite,
    Code::RateLimited,
    Code::Internal,
    Code::Unavailable,
];
/// Errors that a body brings.
const OF_A_BODY: [Code; 4] = [
    Code::InvalidJson,
    Code::InvalidField,
    Code::TooLarge,
    Code::UnsupportedMediaType,
];

/// Adds the access rule of the mode, the headers of every answer, and the errors that operations
/// have in common.
pub(super) fn complete(operation: &mut Operation, sign_in: bool) {
    // The lines of a comment are one paragraph.
    operation.description = operation
        .description
        .take()
        .map(|text| text.replace('\n', " "));
    operation.security = security(operation.security.take(), sign_in);
    let mut codes = ALWAYS.to_vec();
    if operation.request_body.is_some() {
        codes.extend(OF_A_BODY);
    }
    if operation.security.is_some() {
        codes.push(Code::Unauthorized);
    }
    let responses = &mut operation.responses.responses;
    for (key, response) in mem::take(responses) {
        match refusal::declared(&key) {
            Some(code) => codes.push(code),
            None => {
                responses.insert(key, success(response));
            }
        }
    }
    for (status, response) in refusal::responses(codes) {
        responses.insert(status.as_str().to_owned(), response.into());
    }
}

/// Returns the access rule of an operation. `None` if the operation reads no token.
fn security(
    declared: Option<Vec<SecurityRequirement>>,
    sign_in: bool,
) -> Option<Vec<SecurityRequirement>> {
    let scheme = |name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    let nothing = SecurityRequirement::default();
    let declared = declared.unwrap_or_default();
    match declared.as_slice() {
        // The mode decides about callers, and about the metrics of a server without a token.
        [] if sign_in => Some(vec![scheme(TOKEN)]),
        [] => Some(vec![scheme(TOKEN), nothing]),
        [only] if *only == scheme(METRICS_TOKEN) && !sign_in => {
            Some(vec![scheme(METRICS_TOKEN), nothing])
        }
        [only] if *only == nothing => None,
        _ => Some(declared),
    }
}

/// Completes a successful response: every response carries the request id, and the document defines
/// each header once.
fn success(response: RefOr<Response>) -> RefOr<Response> {
    let RefOr::T(mut response) = response else {
        return response;
    };
    for (name, declared) in &mut response.headers {
        *declared = RefOr::Ref(header(name));
    }
    let id = RefOr::Ref(header("RequestId"));
    response.headers.insert("x-request-id".to_owned(), id);
    response.into()
}

/// Returns a reference to a header that the document defines once.
pub(super) fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}
