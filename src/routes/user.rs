//! `/user`: users, the members of a chat, and the chats of a user.

use super::{
    auth::OptionalSession,
    extract::{Body, Id, Name, Params},
    response,
};
use crate::{
    auth::Caller,
    error::Error,
    middleware::PasswordRate,
    model::{ChatId, Password, User, UserId, Username},
    service::UserChange,
    state::AppState,
};
use axum::{Json, Router, extract::State, http::StatusCode, response::Response, routing::get};
use serde::Deserialize;
use utoipa::ToSchema;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/user", get(list).post(create))
        .route("/user/{id}", get(find).put(update).delete(remove))
        .route("/user/username/{username}", get(find_by_name))
        .route("/user/chat/{chat_id}", get(of_chat))
        .route("/user/{id}/chat", get(chats))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct NewUser {
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = Password)]
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = UserChange)]
pub(super) struct ChangeBody {
    #[schema(value_type = Option<Username>)]
    username: Option<String>,
    #[schema(value_type = Option<Password>)]
    password: Option<String>,
}

async fn list(
    caller: Caller,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let page = state
        .users
        .list(caller, params.after_user()?, limit)
        .await?;
    let next = |user: &User| format!("/user?limit={}&after={}", limit.get(), user.customer_id);
    Ok(response::list(page, next))
}

async fn find(
    caller: Caller,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
) -> Result<Json<User>, Error> {
    state.users.find(caller, id).await.map(Json)
}

async fn find_by_name(
    caller: Caller,
    Name(name): Name,
    State(state): State<AppState>,
) -> Result<Json<User>, Error> {
    state.users.find_by_name(caller, &name).await.map(Json)
}

async fn create(
    _: PasswordRate,
    State(state): State<AppState>,
    Body(body): Body<NewUser>,
) -> Result<Response, Error> {
    let (name, password) = (
        Username::parse(body.username)?,
        Password::parse(body.password)?,
    );
    let user = state.users.create(name, password).await?;
    Ok(response::created(
        &format!("/user/{}", user.customer_id),
        user,
    ))
}

async fn update(
    _: PasswordRate,
    caller: Caller,
    OptionalSession(asking): OptionalSession,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
    Body(body): Body<ChangeBody>,
) -> Result<Json<User>, Error> {
    let change = UserChange {
        name: body.username.map(Username::parse).transpose()?,
        password: body.password.map(Password::parse).transpose()?,
    };
    let asking = asking.map(|asking| asking.session);
    state
        .users
        .update(caller, asking, id, change)
        .await
        .map(Json)
}

async fn remove(
    caller: Caller,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    state
        .users
        .delete(caller, id)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

async fn of_chat(
    caller: Caller,
    Id(chat): Id<ChatId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let page = state
        .members
        .list(caller, chat, params.after_user()?, limit)
        .await?;
    Ok(response::list(page, |member| {
        let after = member.user.customer_id;
        format!("/user/chat/{chat}?limit={}&after={after}", limit.get())
    }))
}

async fn chats(
    caller: Caller,
    Id(user): Id<UserId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let after = params.after_in_chats()?;
    let page = state.members.chats_of(caller, user, after, limit).await?;
    let next = page
        .next
        .map(|after| format!("/user/{user}/chat?limit={}&after={after}", limit.get()));
    Ok(response::linked(page.rows, next))
}
