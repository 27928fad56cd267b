//! `/login`, `/logout`, `/me` and `/session`: signing in, and the sessions of a user.

use super::extract::{Body, Id};
use crate::{
    auth::{Caller, SignedIn},
    error::{Code, Error},
    middleware::PasswordRate,
    model::{Password, Session, SessionId, SoughtName, Timestamp, User, Username},
    service::{Client, Login, Proofs, of_new_password},
    state::AppState,
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/me", get(me))
        .route("/session", get(list).delete(end_others))
        .route("/session/{id}", delete(end))
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
    } = counted(&state, state.logins.login(name, proofs, client).await)?;
    let body = LoggedIn {
        token: token.reveal(),
        expires_at: session.expires_at,
        user,
    };
    // A cache must not store the token.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Counts the outcome of a login.
fn counted(state: &AppState, login: Result<Login, Error>) -> Result<Login, Error> {
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

async fn logout(me: SignedIn, State(state): State<AppState>) -> Result<StatusCode, Error> {
    state.logins.logout(me).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn me(me: SignedIn, State(state): State<AppState>) -> Result<Json<User>, Error> {
    let caller = Caller::User(me.user);
    state.users.find(caller, me.user).await.map(Json)
}

async fn list(me: SignedIn, State(state): State<AppState>) -> Result<Json<Vec<Session>>, Error> {
    state.logins.list(me).await.map(Json)
}

async fn end(
    me: SignedIn,
    Id(id): Id<SessionId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    state.logins.end(me, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_others(me: SignedIn, State(state): State<AppState>) -> Result<StatusCode, Error> {
    state.logins.end_others(me).await?;
    Ok(StatusCode::NO_CONTENT)
}
