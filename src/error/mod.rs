//! The one error: cut by what the caller can do about it. Causes are logged, never sent.

mod catch_panic;
mod sqlstate;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use sqlx::postgres::PgDatabaseError;
use std::{error::Error as Cause, fmt, time::Duration};
use utoipa::ToSchema;

pub(crate) use catch_panic::catch_panic;
pub use sqlstate::Session;

/// What went wrong, as a client's program reads it. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Code {
    /// The body or frame is not JSON.
    InvalidJson,
    /// A field, parameter or setting is missing, of the wrong type or over its limit.
    InvalidField,
    /// There is no such route.
    NotFound,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The route speaks WebSocket only.
    UpgradeRequired,
    /// There is no such user.
    UserNotFound,
    /// There is no such chat, or the caller must not know of it.
    ChatNotFound,
    /// The user does not belong to the chat.
    MemberNotFound,
    /// There is no such message, or it is deleted.
    MessageNotFound,
    /// The user has no such session.
    SessionNotFound,
    /// Another user has this name.
    UsernameTaken,
    /// Nobody is signed in, or not validly.
    Unauthorized,
    /// The password is right and too weak to go on with: a login with a new one changes it.
    PasswordChangeRequired,
    /// The caller may not do this.
    Forbidden,
    /// A web page of another site asked for something with an effect; or, in open mode on loopback,
    /// the request did not come from this machine itself.
    CrossSite,
    /// The body, frame or content is over its limit.
    TooLarge,
    /// The caller is too fast.
    RateLimited,
    /// The store, or room in a queue, is not to be had right now.
    Unavailable,
    /// A fault of the server.
    Internal,
    /// A WebSocket frame of a type that does not exist.
    UnknownType,
    /// The socket is not connected to that chat.
    NotConnected,
}

impl Code {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// The HTTP status that goes with it.
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

/// What the caller is told, and beside it the cause that only the log sees.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    cause: Option<Box<dyn Cause + Send + Sync>>,
    /// How long to wait before the same may succeed.
    retry_after: Option<Duration>,
    /// Whether something is said not to exist because the caller may not see it.
    hides: bool,
}

impl Error {
    /// An error of `code` that says `message` to the caller.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            retry_after: None,
            hides: false,
        }
    }

    /// A field that is missing or wrong, and what would be right.
    #[must_use]
    pub fn invalid_field(field: &str, expected: &str) -> Self {
        Self::new(Code::InvalidField, format!("{field} must be {expected}"))
    }

    /// There is no user of that id.
    #[must_use]
    pub fn user_not_found(id: impl fmt::Display) -> Self {
        Self::new(Code::UserNotFound, format!("User {id} does not exist"))
    }

    /// There is no chat of that id.
    #[must_use]
    pub fn chat_not_found(id: impl fmt::Display) -> Self {
        Self::new(Code::ChatNotFound, format!("Chat {id} does not exist"))
    }

    /// The user does not belong to the chat.
    #[must_use]
    pub fn member_not_found(user: impl fmt::Display, chat: impl fmt::Display) -> Self {
        Self::new(
            Code::MemberNotFound,
            format!("User {user} is not a member of chat {chat}"),
        )
    }

    /// There is no message of that id, or it is deleted.
    #[must_use]
    pub fn message_not_found(id: impl fmt::Display) -> Self {
        Self::new(
            Code::MessageNotFound,
            format!("Message {id} does not exist or is deleted"),
        )
    }

    /// The socket is not connected to the chat.
    #[must_use]
    pub fn not_connected(chat: impl fmt::Display) -> Self {
        let message = format!("This socket is not connected to chat {chat}: send connect-chat");
        Self::new(Code::NotConnected, message)
    }

    /// Something is over its limit.
    #[must_use]
    pub fn too_large(what: &str, limit: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("{what} must be at most {limit} bytes"),
        )
    }

    /// The caller may not do this.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// A page of another site asked for something with an effect; the server takes `own` for its own
    /// origin.
    #[must_use]
    pub fn cross_site(own: Option<impl fmt::Display>) -> Self {
        let own = own.map_or("none".to_owned(), |own| own.to_string());
        let message = format!(
            "A page of another site may not do this; its origin must be listed in \
             CORS_ALLOWED_ORIGINS. The server takes {own} for its own origin: where its own page asks, \
             a proxy in TRUSTED_PROXIES must pass on the scheme and the name that the browser uses \
             (X-Forwarded-Proto, X-Forwarded-Host)"
        );
        Self::new(Code::CrossSite, message)
    }

    /// Nobody is signed in where somebody must be.
    #[must_use]
    pub fn not_signed_in() -> Self {
        let message = "Sign in first: POST /login gives a token to send as Authorization: Bearer, \
                       on a WebSocket as the token of connect-chat";
        Self::new(Code::Unauthorized, message)
    }

    /// The password is right, and weaker than passwords must be.
    #[must_use]
    pub fn password_change_required() -> Self {
        let message = "The password is right, but too short or too easy to guess for a server where \
                       everyone signs in: log in with it and a newPassword, which takes its place";
        Self::new(Code::PasswordChangeRequired, message)
    }

    /// What the caller has shown to prove who they are proves nothing.
    #[must_use]
    pub fn invalid_token() -> Self {
        let message = "The token is not valid: it is not whole, or its session has ended; \
                       sign in again with POST /login";
        Self::new(Code::Unauthorized, message)
    }

    /// The caller is too fast; they may come back after this long.
    #[must_use]
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::RateLimited, message)
        }
    }

    /// Too many passwords are being hashed; nothing was done.
    #[must_use]
    pub fn busy() -> Self {
        let message = "Too many sign-ups and logins at once; nothing was done, try again";
        Self::new(Code::Unavailable, message)
    }

    /// Refused before anything was written.
    #[must_use]
    pub fn unavailable() -> Self {
        let message = "The server cannot store this right now; nothing was stored, try again";
        Self::new(Code::Unavailable, message)
    }

    /// Asked to write, and not told whether it happened.
    #[must_use]
    pub fn in_doubt() -> Self {
        let message = "The server could not learn whether this was stored; \
                       with a clientMessageId it is safe to send again";
        Self::new(Code::Unavailable, message)
    }

    /// A COMMIT that failed. Where the store itself has answered that the transaction is undone,
    /// this is its error; else the commit may have happened, or may turn out to have.
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

    /// A fault of the server, with its cause for the log.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        let message = "A fault of the server; its log has the request's x-request-id";
        Self {
            code: Code::Internal,
            message: message.to_owned(),
            cause: Some(cause.into()),
            retry_after: None,
            hides: false,
        }
    }

    /// The same, said because the caller may not see what they asked for: the log has it as a refusal.
    #[must_use]
    pub fn masked(self) -> Self {
        Self {
            hides: true,
            ..self
        }
    }

    /// Whether nothing was done because another holds the lock on a row.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let cause = self.cause.as_ref();
        let cause = cause.and_then(|cause| cause.downcast_ref::<sqlx::Error>());
        let database = cause.and_then(|cause| cause.as_database_error());
        database.is_some_and(|e| e.code().as_deref() == Some(sqlstate::LOCKED))
    }

    /// What kind of error this is.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// How long to wait before the same may succeed, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same in milliseconds, rounded up, and at least 1.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let nanos = self.retry_after?.as_nanos();
        u64::try_from(nanos.div_ceil(1_000_000).max(1)).ok()
    }

    /// What the caller is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Logs the cause, where there is one, and what was refused for who asked. Called once, where
    /// the error is answered. A refusal by rate is not logged here: the layer that answers it bounds
    /// the number of lines.
    pub fn log(&self) {
        match (&self.cause, self.code) {
            (Some(cause), Code::Internal) => tracing::error!(%cause, "internal error"),
            (Some(cause), _) => tracing::warn!(%cause, "store unavailable"),
            (None, code) if self.hides || is_refusal(code) => {
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

/// Why something came too fast, in an answer's extensions.
#[derive(Clone, Debug)]
pub struct TooFast(pub String);

/// The text of an error for the person who runs the server. Postgres' errors come without the line of
/// Postgres' own source, which their driver appends as " at line N".
#[must_use]
pub fn sentence(error: &(dyn Cause + 'static)) -> String {
    let text = error.to_string();
    let mut next = Some(error);
    while let Some(error) = next {
        let store = error.downcast_ref::<sqlx::Error>();
        let database = store.and_then(|error| error.as_database_error());
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

/// Whether a store's own error says that it is away, full or busy rather than that we are wrong: of
/// Postgres what `sqlstate` holds, of SQLite what `PASSING` holds.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| match code.len() {
            5 => sqlstate::is_transient(&code) || sqlstate::is_outdated_plan(error),
            _ => sqlite_code(&code).is_some_and(|code| PASSING.contains(&code)),
        }),
        _ => false,
    }
}

/// SQLite's codes for what passes without a change of the server: PERM, ABORT (rolled back
/// meanwhile), BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT (it says so of a page that the
/// disk could not read too), FULL, CANTOPEN (rights, or no file handle left), PROTOCOL (a race for
/// a lock) and NOTADB (a file that is being replaced).
const PASSING: [u32; 13] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26];
/// SQLite's codes with which a COMMIT has changed nothing: BUSY, LOCKED and CONSTRAINT. After the
/// others, such as IOERR and FULL, the log may hold the whole transaction, and a restart finds it.
const UNDONE: [u32; 3] = [5, 6, 19];

/// SQLite's primary code of an extended one.
fn sqlite_code(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Whether a store's answer to a COMMIT, or to a statement that commits by itself, says for certain that
/// nothing was stored.
#[must_use]
pub fn is_not_committed(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let of_sqlite = code.and_then(|code| sqlite_code(&code).filter(|_| code.len() != 5));
    sqlstate::is_not_committed(error) || of_sqlite.is_some_and(|code| UNDONE.contains(&code))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self {
                cause: Some(error.into()),
                ..Self::unavailable()
            }
        } else {
            Self::internal(error)
        }
    }
}

/// Turns a broken constraint into the error that the caller understands.
pub trait OnConstraint<T> {
    /// Answers `error` where a unique constraint refused the row.
    ///
    /// # Errors
    /// `error`, or whatever else the store said.
    fn on_unique(self, error: impl FnOnce() -> Error) -> Result<T, Error>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_unique(self, error: impl FnOnce() -> Error) -> Result<T, Error> {
        self.map_err(|e| match e.as_database_error() {
            Some(cause) if cause.is_unique_violation() => error(),
            _ => e.into(),
        })
    }
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
        // For who counts and logs refusals.
        response.extensions_mut().insert(self.code);
        if self.code == Code::RateLimited {
            response.extensions_mut().insert(TooFast(self.message));
        }
        let headers = response.headers_mut();
        if let Some((name, value)) = extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(wait) = wait {
            // In whole seconds, as HTTP has it.
            headers.insert(header::RETRY_AFTER, wait.div_ceil(1000).into());
        }
        response
    }
}
