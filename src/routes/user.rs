//! `/user`

use super::{
    extract::{Body, Id, Name, Params},
    reply,
};
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, Password, User, UserId, Username},
    state::AppState,
};
use axum::{Json, Router, extract::State, http::StatusCode, response::Response, routing::get};
use serde::Deserialize;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/user", get(list).post(create))
        .route("/user/{id}", get(find).put(update).delete(remove))
        .route("/user/username/{username}", get(find_by_name))
        .route("/user/chat/{chat_id}", get(of_chat))
        .route("/user/{id}/chat", get(chats))
}

#[derive(Deserialize)]
struct NewUser {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct UserChange {
    username: Option<String>,
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
    Ok(reply::list(page, next))
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
    State(state): State<AppState>,
    Body(body): Body<NewUser>,
) -> Result<Response, Error> {
    let (name, password) = (
        Username::parse(body.username)?,
        Password::parse(body.password)?,
    );
    let user = state.users.create(name, password).await?;
    Ok(reply::created(&format!("/user/{}", user.customer_id), user))
}

async fn update(
    caller: Caller,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
    Body(body): Body<UserChange>,
) -> Result<Json<User>, Error> {
    let name = body.username.map(Username::parse).transpose()?;
    let password = body.password.map(Password::parse).transpose()?;
    state
        .users
        .update(caller, id, name, password)
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
    Ok(reply::list(page, |member| {
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
    let page = state
        .members
        .chats_of(caller, user, params.after_chat()?, limit)
        .await?;
    Ok(reply::list(page, |listed| {
        format!(
            "/user/{user}/chat?limit={}&after={}",
            limit.get(),
            listed.chat.chat_id
        )
    }))
}
