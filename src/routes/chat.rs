//! `/chat`: chats and their members.

use super::{
    extract::{Body, Id, Ids, Params},
    response,
};
use crate::{
    auth::Caller,
    error::Error,
    middleware::SameSite,
    model::{Access, Chat, ChatId, ChatName, Role, UserId},
    service::Membership,
    state::AppState,
};
use axum::{
    Json, Router,
    extract::{FromRequest, Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use http_body::Body as _;
use serde::Deserialize;
use utoipa::ToSchema;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/chat", get(list).post(create))
        .route("/chat/{id}", get(find).put(rename).delete(remove))
        .route(
            "/chat/user/{user_id}",
            get(add_member).head(no_head).delete(remove_member),
        )
        .route(
            "/chat/{chat_id}/user/{user_id}",
            put(put_member).delete(remove_member_by_path),
        )
        .route("/chat/user/{user_id}/chat/{chat_id}/access", get(access))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ChatBody {
    #[serde(rename = "chatName", alias = "chat_name")]
    #[schema(value_type = ChatName)]
    name: String,
}

#[derive(Default, Deserialize, ToSchema)]
pub(super) struct MemberBody {
    role: Option<Role>,
}

async fn list(
    caller: Caller,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let page = state
        .chats
        .list(caller, params.after_chat()?, limit)
        .await?;
    let next = |chat: &Chat| format!("/chat?limit={}&after={}", limit.get(), chat.chat_id);
    Ok(response::list(page, next))
}

async fn find(
    caller: Caller,
    Id(id): Id<ChatId>,
    State(state): State<AppState>,
) -> Result<Json<Chat>, Error> {
    state.chats.find(caller, id).await.map(Json)
}

async fn create(
    caller: Caller,
    State(state): State<AppState>,
    Body(body): Body<ChatBody>,
) -> Result<Response, Error> {
    let chat = state
        .chats
        .create(caller, ChatName::parse(body.name)?)
        .await?;
    Ok(response::created(&format!("/chat/{}", chat.chat_id), chat))
}

async fn rename(
    caller: Caller,
    Id(id): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<ChatBody>,
) -> Result<Json<Chat>, Error> {
    state
        .chats
        .rename(caller, id, ChatName::parse(body.name)?)
        .await
        .map(Json)
}

async fn remove(
    caller: Caller,
    Id(id): Id<ChatId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    state
        .chats
        .delete(caller, id)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

// The original backend adds a member by GET. A page of another site could make a browser send such
// a request.
async fn add_member(
    _: SameSite,
    caller: Caller,
    Id(user): Id<UserId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let membership = state
        .members
        .add(caller, user, params.chat()?, None)
        .await?;
    Ok(membership_reply(membership))
}

async fn put_member(
    caller: Caller,
    Ids(chat, user): Ids<ChatId, UserId>,
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Error> {
    // The role is optional, and so is the body.
    let empty = request.body().is_end_stream();
    let Body(body) = match empty {
        true => Body(MemberBody::default()),
        false => Body::from_request(request, &state).await?,
    };
    let membership = state.members.add(caller, user, chat, body.role).await?;
    Ok(membership_reply(membership))
}

fn membership_reply(membership: Membership) -> Response {
    let status = if membership.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    (status, Json(membership.member)).into_response()
}

async fn remove_member(
    caller: Caller,
    Id(user): Id<UserId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    let chat = params.chat()?;
    state
        .members
        .remove(caller, user, chat)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

async fn remove_member_by_path(
    caller: Caller,
    Ids(chat, user): Ids<ChatId, UserId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    state
        .members
        .remove(caller, user, chat)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

async fn access(
    caller: Caller,
    Ids(user, chat): Ids<UserId, ChatId>,
    State(state): State<AppState>,
) -> Result<Json<Access>, Error> {
    state.members.access(caller, user, chat).await.map(Json)
}

/// Refuses HEAD, which would run the GET handler and add the member without showing it.
async fn no_head(method: Method, uri: Uri) -> impl IntoResponse {
    let allowed = [(header::ALLOW, "GET,DELETE")];
    (allowed, super::no_method(method, uri).await)
}
