//! The error codes of the API, with their names and HTTP statuses.

use axum::http::StatusCode;
use utoipa::ToSchema;

/// Machine-readable error code. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Code {
    /// The body or WebSocket frame is not JSON.
    InvalidJson,
    /// A field, parameter or setting is missing, has the wrong type or exceeds its limit.
    InvalidField,
    /// The route does not exist.
    NotFound,
    /// The route exists but does not support the request's method.
    MethodNotAllowed,
    /// The content type of the body is not `application/json`.
    UnsupportedMediaType,
    /// The route accepts WebSocket upgrades only.
    UpgradeRequired,
    /// The user does not exist.
    UserNotFound,
    /// The chat does not exist, or the caller is not allowed to learn that it exists.
    ChatNotFound,
    /// The user is not a member of the chat.
    MemberNotFound,
    /// The message does not exist or is deleted.
    MessageNotFound,
    /// The user has no session with this id.
    SessionNotFound,
    /// Another user already has this name.
    UsernameTaken,
    /// The credentials are missing or invalid.
    Unauthorized,
    /// The password is correct but too weak. A login that also sends a new password replaces it.
    PasswordChangeRequired,
    /// The caller is not allowed to do this.
    Forbidden,
    /// A web page of another site sent a request that has an effect. In open mode on loopback: the
    /// request did not come from the server's own machine.
    CrossSite,
    /// The body, WebSocket frame or message content exceeds its size limit.
    TooLarge,
    /// The caller exceeded a rate limit.
    RateLimited,
    /// The database cannot be used right now, or a queue is full.
    Unavailable,
    /// The server failed in a way that the caller cannot correct.
    Internal,
    /// The WebSocket frame has an unknown `type`.
    UnknownType,
    /// The socket has not joined the chat with `connect-chat`.
    NotConnected,
}

impl Code {
    /// Returns the stable name in snake case, such as `invalid_json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// Returns the HTTP status of a response with this code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.parts().1
    }

    fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidJson => ("invalid_json", StatusCode::BAD_REQUEST),
            Self::InvalidField => ("invalid_field", StatusCode::BAD_REQUEST),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::UpgradeRequired => ("upgrade_required", StatusCode::UPGRADE_REQUIRED),
            Self::UserNotFound => ("user_not_found", StatusCode::NOT_FOUND),
            Self::ChatNotFound => ("chat_not_found", StatusCode::NOT_FOUND),
            Self::MemberNotFound => ("member_not_found", StatusCode::NOT_FOUND),
            Self::MessageNotFound => ("message_not_found", StatusCode::NOT_FOUND),
            Self::SessionNotFound => ("session_not_found", StatusCode::NOT_FOUND),
            Self::UsernameTaken => ("username_taken", StatusCode::CONFLICT),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::PasswordChangeRequired => ("password_change_required", StatusCode::FORBIDDEN),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::CrossSite => ("cross_site", StatusCode::FORBIDDEN),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::UnknownType => ("unknown_type", StatusCode::BAD_REQUEST),
            Self::NotConnected => ("not_connected", StatusCode::BAD_REQUEST),
        }
    }
}
