//! `/user`: users, the members of a chat, and the chats of a user.

use super::{
    auth::OptionalSession,
    extract::{Body, Id, Name, Params},
    openapi::{example, query, refusal},
    response,
};
use crate::{
    auth::Caller,
    error::Error,
    middleware::PasswordRate,
    model::{ChatId, ChatMember, Password, User, UserChat, UserId, Username},
    rate_limit::{LimitKey, ReadWeight},
    service::{UserChange, UserDeletion},
    state::AppState,
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, update, remove))
        .routes(routes!(find_by_name))
        .routes(routes!(of_chat))
        .routes(routes!(chats))
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

/// List users
#[utoipa::path(
    get, path = "/user", operation_id = "listUsers", tag = "users",
    params(query::PageSize, query::AfterUser),
    responses(
        (status = OK, description = "Users, ordered by id", body = Vec<User>, headers(("Link")),
            example = example::users),
    ),
)]
async fn list(
    caller: Caller,
    reader: LimitKey,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let (limit, after) = (params.limit()?, params.after_user()?);
    let memory = limit.memory_of_names();
    let read = state.reads.begin(reader, ReadWeight::Light, memory).await?;
    let page = state.users.list(caller, after, limit).await?;
    let next = |user: &User| format!("/user?limit={}&after={}", limit.get(), user.customer_id);
    Ok(response::list(page, read.end(), next))
}

/// Find a user
#[utoipa::path(
    get, path = "/user/{id}", operation_id = "findUser", tag = "users",
    params(("id" = UserId, Path, example = 1)),
    responses(
        (status = OK, description = "The user", body = User, example = example::carl),
        refusal::UserNotFound,
    ),
)]
async fn find(
    caller: Caller,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
) -> Result<Json<User>, Error> {
    state.users.find(caller, id).await.map(Json)
}

/// Find a user by name
#[utoipa::path(
    get, path = "/user/username/{username}", operation_id = "findUserByName", tag = "users",
    params(
        ("username" = String, Path, description = "The exact name", example = "carl",
            min_length = 1, pattern = r"^[^\u0000]+$"),
    ),
    responses(
        (status = OK, description = "The user", body = User, example = example::carl),
        refusal::UserNotFound,
    ),
)]
async fn find_by_name(
    caller: Caller,
    Name(name): Name,
    State(state): State<AppState>,
) -> Result<Json<User>, Error> {
    state.users.find_by_name(caller, &name).await.map(Json)
}

/// Sign up
#[utoipa::path(
    post, path = "/user", operation_id = "createUser", tag = "users",
    request_body(content = NewUser, example = example::credentials),
    responses(
        (status = CREATED, description = "The new user", body = User, headers(("Location")),
            example = json!(example::user(4, "dora"))),
        refusal::UsernameTaken,
    ),
    security(()),
)]
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

/// Change a user
///
/// Omitted fields stay unchanged. Users may change their own account only.
#[utoipa::path(
    put, path = "/user/{id}", operation_id = "updateUser", tag = "users",
    params(("id" = UserId, Path, example = 1)),
    request_body(content = ChangeBody, example = json!({ "username": "carla" })),
    responses(
        (status = OK, description = "The changed user", body = User,
            example = json!(example::user(1, "carla"))),
        refusal::UserNotFound, refusal::UsernameTaken, refusal::Forbidden,
    ),
)]
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

/// Delete a user
///
/// Deletes the memberships and sessions of the user. The user's messages stay as tombstones without
/// an author. Each tombstone has a new `seq` and is published to all sockets of its chat. Users may
/// delete their own account only.
#[utoipa::path(
    delete, path = "/user/{id}", operation_id = "deleteUser", tag = "users",
    params(("id" = UserId, Path, example = 3)),
    responses(
        (status = NO_CONTENT, description = "The user is deleted"),
        (status = ACCEPTED, description = "The user has more than 60,000 messages: the user is signed out, and \
            the deletion goes on in the background. It has ended when the user is not found any more"),
        refusal::UserNotFound, refusal::Forbidden,
    ),
)]
async fn remove(
    caller: Caller,
    Id(id): Id<UserId>,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    match state.users.delete(caller, id).await? {
        UserDeletion::Done => Ok(StatusCode::NO_CONTENT),
        UserDeletion::Continues => Ok(StatusCode::ACCEPTED),
    }
}

/// List a chat's members
#[utoipa::path(
    get, path = "/user/chat/{chat_id}", operation_id = "listChatMembers", tag = "users",
    params(("chat_id" = ChatId, Path, example = 2), query::PageSize, query::AfterUser),
    responses(
        (status = OK, description = "Members with their roles, ordered by user id",
            body = Vec<ChatMember>, headers(("Link")),
            example = json!([example::chat_member()])),
        refusal::ChatNotFound,
    ),
)]
async fn of_chat(
    caller: Caller,
    reader: LimitKey,
    Id(chat): Id<ChatId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let (limit, after) = (params.limit()?, params.after_user()?);
    let memory = limit.memory_of_names();
    let read = state.reads.begin(reader, ReadWeight::Light, memory).await?;
    let page = state.members.list(caller, chat, after, limit).await?;
    Ok(response::list(page, read.end(), |member| {
        let after = member.user.customer_id;
        format!("/user/chat/{chat}?limit={}&after={after}", limit.get())
    }))
}

/// List a user's chats
///
/// Users may list their own chats only. The pages that `Link` connects contain each chat once, even
/// if chats become active or are deleted between two requests.
#[utoipa::path(
    get, path = "/user/{id}/chat", operation_id = "listUserChats", tag = "users",
    params(("id" = UserId, Path, example = 3), query::PageSize, query::AfterCursor),
    responses(
        (status = OK, description = "Chats, ordered by their latest activity, newest first",
            body = Vec<UserChat>, headers(("Link")),
            example = json!([example::user_chat()])),
        refusal::UserNotFound, refusal::Forbidden,
    ),
)]
async fn chats(
    caller: Caller,
    reader: LimitKey,
    Id(user): Id<UserId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let after = params.after_in_chats()?;
    let memory = limit.memory_of_chats();
    let read = state.reads.begin(reader, ReadWeight::Heavy, memory).await?;
    let page = state.members.chats_of(caller, user, after, limit).await?;
    let next = page
        .next
        .map(|after| format!("/user/{user}/chat?limit={}&after={after}", limit.get()));
    let memory = read.end_with(page.rows.iter().map(UserChat::memory).sum());
    Ok(response::linked(page.rows, memory, next))
}
