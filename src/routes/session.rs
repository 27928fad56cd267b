//! `/login`, `/logout`, `/me` and `/session`: signing in, and the sessions of a user.

use super::{
    extract::{Body, Id},
    openapi::{example, refusal},
    response,
};
use crate::{
    auth::{Caller, SignedIn},
    error::{Code, Error},
    middleware::PasswordRate,
    model::{Password, Session, SessionId, SoughtName, Timestamp, User, Username},
    rate_limit::{LimitKey, ReadWeight},
    service::{Client, Login, Proofs, of_new_password},
    state::AppState,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most memory of the sessions of a user, in bytes: 100 sessions, each with a user agent of 256 characters.
const SESSIONS_BYTES: usize = 128 * 1024;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(list, end_others))
        .routes(routes!(end))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credentials {
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = Password)]
    password: String,
    /// The new password. If omitted or null, the password stays. A change ends all other sessions
    /// of the user.
    #[schema(value_type = Option<Password>)]
    new_password: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoggedIn<'a> {
    /// The session token. Send it as `Authorization: Bearer …`, or as the `token` of
    /// `connect-chat`.
    token: &'a str,
    /// The time at which the session ends at the latest. An unused session ends earlier.
    expires_at: Timestamp,
    user: User,
}

/// Sign in
///
/// Creates a session. A wrong name and a wrong password receive the same answer after the same
/// time. After several failed logins, each further attempt has to wait longer. A correct password
/// that is too weak for required mode, such as one from open mode, is refused with
/// `password_change_required`: ask for a new password, and log in again with the old password and
/// `newPassword`. The new password replaces the old one and ends all other sessions.
#[utoipa::path(
    post, path = "/login", operation_id = "logIn", tag = "sessions",
    request_body(content = Credentials, example = example::credentials),
    responses(
        (status = OK, description = "The token of the session, which is returned only once",
            body = LoggedIn,
            example = example::logged_in),
        refusal::Unauthorized, refusal::PasswordChangeRequired,
    ),
    security(()),
)]
async fn login(
    _: PasswordRate,
    client: Client,
    State(state): State<AppState>,
    Body(body): Body<Credentials>,
) -> Result<Response, Error> {
    let name = SoughtName::parse(&body.username)?;
    let new_password = body.new_password.map(Password::parse).transpose();
    let proofs = Proofs {
        password: Password::parse(body.password)?,
        new_password: new_password.map_err(of_new_password)?,
    };
    let Login {
        token,
        session,
        user,
    } = count_outcome(&state, state.sessions.login(name, proofs, client).await)?;
    let body = LoggedIn {
        token: token.reveal(),
        expires_at: session.expires_at,
        user,
    };
    // A cache must not store the token.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Counts the outcome of a login.
fn count_outcome(state: &AppState, login: Result<Login, Error>) -> Result<Login, Error> {
    state
        .metrics
        .login(match login.as_ref().map_err(Error::code) {
            Ok(_) => "succeeded",
            Err(Code::Unauthorized) => "failed",
            Err(Code::RateLimited) => "held_off",
            Err(Code::PasswordChangeRequired) => "change_required",
            Err(_) => "undecided",
        });
    login
}

/// Sign out
///
/// Ends the current session and closes its sockets.
#[utoipa::path(
    post, path = "/logout", operation_id = "logOut", tag = "sessions",
    responses((status = NO_CONTENT, description = "The token is no longer valid")),
    security(("token" = [])),
)]
async fn logout(me: SignedIn, State(state): State<AppState>) -> Result<StatusCode, Error> {
    state.sessions.logout(me).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get the current user
#[utoipa::path(
    get, path = "/me", operation_id = "findMe", tag = "sessions",
    responses(
        (status = OK, description = "The token's user", body = User, example = example::dora),
    ),
    security(("token" = [])),
)]
async fn me(me: SignedIn, State(state): State<AppState>) -> Result<Json<User>, Error> {
    let caller = Caller::User(me.user);
    state.users.find(caller, me.user).await.map(Json)
}

/// List the current user's sessions
#[utoipa::path(
    get, path = "/session", operation_id = "listSessions", tag = "sessions",
    responses(
        (status = OK, description = "All sessions of the user, including the current one",
            body = Vec<Session>,
            example = json!([example::session()])),
    ),
    security(("token" = [])),
)]
async fn list(
    me: SignedIn,
    reader: LimitKey,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let read = state
        .reads
        .begin(reader, ReadWeight::Light, SESSIONS_BYTES)
        .await?;
    let sessions = state.sessions.list(me).await?;
    Ok(response::linked(sessions, read.end(), None))
}

/// End one of the current user's sessions
#[utoipa::path(
    delete, path = "/session/{id}", operation_id = "endSession", tag = "sessions",
    params(("id" = SessionId, Path, example = 1)),
    responses(
        (status = NO_CONTENT, description = "The session has ended and its sockets are closed"),
        refusal::SessionNotFound,
    ),
    security(("token" = [])),
)]
async fn end(
    me: SignedIn,
    Id(id): Id<SessionId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    state.sessions.end(me, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all sessions except the current one
#[utoipa::path(
    delete, path = "/session", operation_id = "endOtherSessions", tag = "sessions",
    responses((status = NO_CONTENT, description = "The current session is the only one")),
    security(("token" = [])),
)]
async fn end_others(me: SignedIn, State(state): State<AppState>) -> Result<StatusCode, Error> {
    state.sessions.end_others(me).await?;
    Ok(StatusCode::NO_CONTENT)
}
