//! Errors in the OpenAPI document: one response per status, each code with an example that the
//! server's own error constructors build. A handler declares its error codes by the types of this
//! module, in its `responses(…)`.

use super::operation::header;
use crate::{
    error::{Code, Error},
    model::{ChatId, MessageId, UserId},
};
use axum::http::StatusCode;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Content, Object, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        example::{Example, ExampleBuilder},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// The name of the schema of all errors.
pub(super) const NAME: &str = "Error";

/// Declares one type per error code. Its response has the code as its key, because several codes
/// have the same status.
macro_rules! refusals {
    ($($code:ident),* $(,)?) => {
        $(
            #[doc = concat!("The error code `Code::", stringify!($code), "`.")]
            pub(crate) struct $code;

            impl IntoResponses for $code {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let key = Code::$code.as_str().to_owned();
                    BTreeMap::from([(key, Response::default().into())])
                }
            }
        )*

        const DECLARED: &[Code] = &[$(Code::$code),*];
    };
}

refusals![
    ChatNotFound,
    Forbidden,
    MemberNotFound,
    MessageNotFound,
    NotFound,
    PasswordChangeRequired,
    SessionNotFound,
    Unauthorized,
    UpgradeRequired,
    UserNotFound,
    UsernameTaken,
];

/// Returns the error code with this key among the responses of a handler. `None` for a status.
pub(super) fn declared(key: &str) -> Option<Code> {
    let mut codes = DECLARED.iter().copied();
    codes.find(|code| code.as_str() == key)
}

/// Returns one response per status, with all codes that the status may carry.
pub(super) fn responses(codes: Vec<Code>) -> BTreeMap<StatusCode, Response> {
    let mut by_status: BTreeMap<StatusCode, BTreeMap<&str, Code>> = BTreeMap::new();
    for code in codes {
        let same = by_status.entry(code.status()).or_default();
        same.insert(code.as_str(), code);
    }
    // A path over its limit and a head over its limit have statuses of their own.
    for status in [
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    ] {
        by_status.insert(
            status,
            BTreeMap::from([(Code::TooLarge.as_str(), Code::TooLarge)]),
        );
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status, response(status, codes)))
        .collect()
}

fn response(status: StatusCode, codes: BTreeMap<&str, Code>) -> Response {
    let names: Vec<String> = codes.keys().map(|name| format!("`{name}`")).collect();
    let examples = codes.into_iter().map(|(name, code)| (name, example(code)));
    let content = Content::builder()
        .schema(Some(Ref::from_schema_name(NAME)))
        .examples_from_iter(examples);
    let response = Response::builder()
        .description(names.join(", "))
        .header_ref("x-request-id", header("RequestId"))
        .content("application/json", content.build());
    with_headers(status, response).build()
}

fn with_headers(status: StatusCode, response: ResponseBuilder) -> ResponseBuilder {
    let name = match status {
        StatusCode::UNAUTHORIZED => "WWW-Authenticate",
        StatusCode::UPGRADE_REQUIRED => "Upgrade",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "Retry-After",
        _ => return response,
    };
    response.header_ref(name, header(name))
}

/// Returns the schema of all errors.
pub(super) fn schema() -> Object {
    let error = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "The error and its remedy, as a text for people. The text may change.",
        ));
    let wait = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some(
            "Time in milliseconds after which a retry may succeed. Omitted if it is unknown.",
        ));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("error", error)
        .property("code", Ref::from_schema_name(Code::name()))
        .property("retryAfterMs", wait)
        .required("error")
        .required("code")
        .build()
}

fn example(code: Code) -> Example {
    let error = match code {
        Code::UserNotFound => Error::user_not_found(UserId(7)),
        Code::ChatNotFound => Error::chat_not_found(ChatId(7)),
        Code::MemberNotFound => Error::member_not_found(UserId(3), ChatId(1)),
        Code::MessageNotFound => Error::message_not_found(MessageId(70)),
        Code::NotConnected => Error::not_connected(ChatId(1)),
        Code::TooLarge => Error::too_large("content", 16 * 1024),
        Code::InvalidField => Error::invalid_field("id", "a positive integer"),
        Code::Unavailable => Error::unavailable(),
        Code::Internal => Error::internal("an example"),
        Code::Unauthorized => Error::not_signed_in(),
        Code::PasswordChangeRequired => Error::password_change_required(),
        Code::CrossSite => Error::cross_site(Some("https://chat.example.com")),
        Code::RateLimited => Error::rate_limited("Too many requests from this address", SECOND),
        other => Error::new(other, sentence(other)),
    };
    let mut value = json!({ "error": error.message(), "code": code.as_str() });
    if let Some(wait) = error.retry_after_ms() {
        value["retryAfterMs"] = wait.into();
    }
    ExampleBuilder::new().value(Some(value)).build()
}

fn sentence(code: Code) -> &'static str {
    match code {
        Code::InvalidJson => "The body is not JSON: EOF while parsing an object at line 1 column 1",
        Code::NotFound => "There is no route /users",
        Code::MethodNotAllowed => {
            "/user does not support PATCH; the Allow header lists the \
                                   supported methods"
        }
        Code::UnsupportedMediaType => "The body must be JSON, with Content-Type: application/json",
        Code::UpgradeRequired => {
            "This route accepts WebSocket (version 13) only: send Upgrade: websocket"
        }
        Code::UsernameTaken => "The name carl is taken",
        Code::SessionNotFound => "You have no session 7",
        Code::Forbidden => "User 2 cannot act for user 1",
        _ => "An error",
    }
}
