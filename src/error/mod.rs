//! The error type of every layer, and its HTTP response. Its codes are divided by how a caller can
//! react; causes are logged and never sent.

mod catch_panic;
mod code;
mod database;
mod sqlstate;
mod within;

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use sqlx::postgres::PgDatabaseError;
use std::{error::Error as Cause, fmt, time::Duration};

pub(crate) use catch_panic::catch_panic;
pub use code::Code;
pub use database::{OnConstraint, is_not_committed};
pub use sqlstate::SessionHealth;
pub(crate) use within::within;

/// An error: a code and a message for the caller, and a cause that only the log receives.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    cause: Option<Box<dyn Cause + Send + Sync>>,
    /// The wait before a retry may succeed. `None` if it is unknown.
    retry_after: Option<Duration>,
    /// True if the error claims that a resource does not exist because the caller may not see it.
    masked: bool,
}

impl Error {
    /// Creates an error without a cause. The caller receives `code` and `message`.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            retry_after: None,
            masked: false,
        }
    }

    /// Creates an error about a missing or wrong field. `expected` describes a valid value.
    #[must_use]
    pub fn invalid_field(field: &str, expected: &str) -> Self {
        Self::new(Code::InvalidField, format!("{field} must be {expected}"))
    }

    /// Creates the error for a user id that does not exist.
    #[must_use]
    pub fn user_not_found(id: impl fmt::Display) -> Self {
        Self::new(Code::UserNotFound, format!("User {id} does not exist"))
    }

    /// Creates the error for a chat id that does not exist.
    #[must_use]
    pub fn chat_not_found(id: impl fmt::Display) -> Self {
        Self::new(Code::ChatNotFound, format!("Chat {id} does not exist"))
    }

    /// Creates the error for a user that is not a member of the chat.
    #[must_use]
    pub fn member_not_found(user: impl fmt::Display, chat: impl fmt::Display) -> Self {
        Self::new(
            Code::MemberNotFound,
            format!("User {user} is not a member of chat {chat}"),
        )
    }

    /// Creates the error for a message id that does not exist or is deleted.
    #[must_use]
    pub fn message_not_found(id: impl fmt::Display) -> Self {
        Self::new(
            Code::MessageNotFound,
            format!("Message {id} does not exist or is deleted"),
        )
    }

    /// Creates the error for a socket that has not joined the chat.
    #[must_use]
    pub fn not_connected(chat: impl fmt::Display) -> Self {
        let message = format!("This socket is not connected to chat {chat}: send connect-chat");
        Self::new(Code::NotConnected, message)
    }

    /// Creates the error for an input that is larger than `limit` bytes. `what` is its name.
    #[must_use]
    pub fn too_large(what: &str, limit: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("{what} must be at most {limit} bytes"),
        )
    }

    /// Creates the error for a caller that lacks a permission.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// Creates the error for a request that has an effect and comes from a page of another site.
    ///
    /// `own` is the origin that the server considers its own. `None` if it could not be determined.
    #[must_use]
    pub fn cross_site(own: Option<impl fmt::Display>) -> Self {
        let own = own.map_or("none".to_owned(), |own| own.to_string());
        let message = format!(
            "A page of another site may not do this, unless CORS_ALLOWED_ORIGINS lists its origin. \
             The server considers {own} its own origin. If the request came from the server's own \
             page, the proxy must be listed in TRUSTED_PROXIES and pass on the scheme and the host \
             that the browser uses (X-Forwarded-Proto, X-Forwarded-Host)"
        );
        Self::new(Code::CrossSite, message)
    }

    /// Creates the error for a request without credentials on a route that requires them.
    #[must_use]
    pub fn not_signed_in() -> Self {
        let message = "Sign in first: POST /login returns a token; send it as Authorization: \
                       Bearer, or on a WebSocket as the token of connect-chat";
        Self::new(Code::Unauthorized, message)
    }

    /// Creates the error for a login with a correct password that is weaker than the rules allow.
    #[must_use]
    pub fn password_change_required() -> Self {
        let message = "The password is correct, but too short or too easy to guess: log in with it \
                       and with a newPassword that replaces it";
        Self::new(Code::PasswordChangeRequired, message)
    }

    /// Creates the error for a malformed token, or a token of an ended session.
    #[must_use]
    pub fn invalid_token() -> Self {
        let message = "The token is not valid: it is incomplete, or its session has ended; sign in \
                       again with POST /login";
        Self::new(Code::Unauthorized, message)
    }

    /// Creates the error for a caller that exceeded a rate limit and may retry after `retry_after`.
    #[must_use]
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::RateLimited, message)
        }
    }

    /// Creates the error for a full queue of password hashes. Nothing was written.
    #[must_use]
    pub fn busy() -> Self {
        let message = "Too many sign-ups and logins at once; nothing was done, try again";
        Self::new(Code::Unavailable, message)
    }

    /// Creates the error for a read that found no turn, or no memory for its answer, in time.
    #[must_use]
    pub fn too_many_reads() -> Self {
        let message = "Too many pages are being read or sent at once; read those that were asked for, \
                       then try again";
        Self::new(Code::Unavailable, message)
    }

    /// Creates the error for a request that was refused before anything was written.
    #[must_use]
    pub fn unavailable() -> Self {
        let message = "The server cannot store this right now; nothing was stored, try again";
        Self::new(Code::Unavailable, message)
    }

    /// Creates the error for an in-doubt commit: the server does not know if the write happened.
    #[must_use]
    pub fn in_doubt() -> Self {
        let message = "The server does not know if this was stored; with a clientMessageId it is \
                       safe to send it again";
        Self::new(Code::Unavailable, message)
    }

    /// Converts the error of a failed COMMIT.
    ///
    /// If the database reported that nothing was stored, the result is the usual conversion of its
    /// error. Otherwise the commit may have happened, or may take effect after a restart of the
    /// database, and the result is an in-doubt error.
    #[must_use]
    pub fn of_commit(error: sqlx::Error) -> Self {
        if is_not_committed(&error) {
            error.into()
        } else {
            Self {
                cause: Some(error.into()),
                ..Self::in_doubt()
            }
        }
    }

    /// Creates the error for a failure of the server. The cause is logged and never sent.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        let message = "The server failed; its log describes the error under the x-request-id of \
                       this request";
        Self {
            code: Code::Internal,
            message: message.to_owned(),
            cause: Some(cause.into()),
            retry_after: None,
            masked: false,
        }
    }

    /// Marks the error as hiding a resource that the caller may not see. The log records a refusal.
    #[must_use]
    pub fn masked(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }

    /// Returns true if Postgres rejected the statement because another transaction held a row lock.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let cause = self.cause.as_ref();
        let cause = cause.and_then(|cause| cause.downcast_ref::<sqlx::Error>());
        let database = cause.and_then(|cause| cause.as_database_error());
        database.is_some_and(|e| e.code().as_deref() == Some(sqlstate::LOCKED))
    }

    /// Returns the machine-readable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the wait before a retry may succeed. `None` if it is unknown.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the wait before a retry in milliseconds, rounded up, at least 1. `None` if it is unknown.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let nanos = self.retry_after?.as_nanos();
        u64::try_from(nanos.div_ceil(1_000_000).max(1)).ok()
    }

    /// Returns the message that the caller receives.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Logs the cause if there is one, otherwise a refused permission. Other errors are not logged.
    ///
    /// Call it once, in the place that answers the error. A rate-limited request is not logged here:
    /// the request log writes a bounded number of lines about it.
    pub fn log(&self) {
        match (&self.cause, self.code) {
            (Some(cause), Code::Internal) => tracing::error!(%cause, "internal error"),
            (Some(cause), _) => tracing::warn!(%cause, "database unavailable"),
            (None, code) if self.masked || is_refusal(code) => {
                tracing::info!(code = code.as_str(), why = self.message, "refused");
            }
            (None, _) => {}
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Cause for Error {
    fn source(&self) -> Option<&(dyn Cause + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Cause + 'static))
    }
}

/// The message of a rate-limited response, in its extensions, for the request log.
#[derive(Clone, Debug)]
pub struct TooFast(pub String);

/// Returns the text of an error for the operator of the server.
///
/// The driver appends the line number in Postgres' own source code as " at line N". The text is
/// returned without this suffix.
#[must_use]
pub fn sentence(error: &(dyn Cause + 'static)) -> String {
    let text = error.to_string();
    let mut next = Some(error);
    while let Some(error) = next {
        let database = error.downcast_ref::<sqlx::Error>();
        let database = database.and_then(|error| error.as_database_error());
        let postgres = database.and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
        if let Some(line) = postgres.and_then(PgDatabaseError::line) {
            let tail = format!(" at line {line}");
            return text.strip_suffix(&tail).unwrap_or(&text).to_owned();
        }
        next = error.source();
    }
    text
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthorized | Code::PasswordChangeRequired | Code::Forbidden | Code::CrossSite
    )
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let mut body = json!({ "error": self.message, "code": self.code.as_str() });
        let wait = self.retry_after_ms();
        if let Some(wait) = wait {
            body["retryAfterMs"] = wait.into();
        }
        let mut response = (self.code.status(), Json(body)).into_response();
        let extra = match self.code {
            Code::UpgradeRequired => Some((header::UPGRADE, "websocket")),
            Code::Unavailable => Some((header::RETRY_AFTER, "1")),
            Code::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        // The request log counts refusals by this code.
        response.extensions_mut().insert(self.code);
        if self.code == Code::RateLimited {
            response.extensions_mut().insert(TooFast(self.message));
        }
        let headers = response.headers_mut();
        if let Some((name, value)) = extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(wait) = wait {
            // HTTP defines this header in whole seconds; rounded up.
            headers.insert(header::RETRY_AFTER, wait.div_ceil(1000).into());
        }
        response
    }
}
