//! `/chat`: chats and their members.

use super::{
    extract::{Body, Id, Ids, Params},
    openapi::{example, query, refusal},
    response,
};
use crate::{
    auth::Caller,
    error::Error,
    middleware::SameSite,
    model::{Access, Chat, ChatId, ChatName, ChatUpdate, Data, Member, Role, Topic, UserId},
    rate_limit::{LimitKey, ReadWeight},
    service::Membership,
    state::AppState,
};
use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use http_body::Body as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, update, remove))
        .routes(routes!(add_member, remove_member).map(|methods| methods.head(no_head)))
        .routes(routes!(put_member, remove_member_by_path))
        .routes(routes!(access))
}

const CHAT_PARAMETER: &str = "The id of the chat. The name `chatId` is accepted too.";

#[derive(Deserialize, ToSchema)]
#[schema(as = NewChat)]
pub(super) struct ChatBody {
    #[serde(rename = "chatName", alias = "chat_name")]
    #[schema(value_type = ChatName)]
    name: String,
    #[schema(value_type = Option<Topic>)]
    topic: Option<String>,
    #[schema(value_type = Option<Data>)]
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ChatUpdate)]
pub(super) struct UpdateBody {
    #[serde(rename = "chatName", alias = "chat_name")]
    #[schema(value_type = Option<ChatName>)]
    name: Option<String>,
    /// The new topic. Null removes the topic.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Topic>)]
    topic: Option<Option<String>>,
    /// The new data. Null removes the data.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Data>)]
    data: Option<Option<Box<RawValue>>>,
}

/// Reads a key that was given, be it null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

impl UpdateBody {
    /// Checks the values. At least one must be given.
    fn parse(self) -> Result<ChatUpdate, Error> {
        let Self { name, topic, data } = self;
        if name.is_none() && topic.is_none() && data.is_none() {
            let expected = "an object with at least one of chatName, topic and data";
            return Err(Error::invalid_field("The body", expected));
        }
        let topic = topic.map(|topic| topic.map(Topic::parse).transpose());
        let data = data.map(|data| data.map(|data| Data::parse(&data)).transpose());
        Ok(ChatUpdate {
            name: name.map(ChatName::parse).transpose()?,
            topic: topic.transpose()?,
            data: data.transpose()?,
        })
    }
}

#[derive(Default, Deserialize, ToSchema)]
pub(super) struct MemberBody {
    role: Option<Role>,
}

/// List chats
///
/// In required mode, only the chats of the current user.
#[utoipa::path(
    get, path = "/chat", operation_id = "listChats", tag = "chats",
    params(query::PageSize, query::AfterChat),
    responses(
        (status = OK, description = "Chats, ordered by id", body = Vec<Chat>, headers(("Link")),
            example = json!([example::chat(1, "general"), example::chat(2, "random")])),
    ),
)]
async fn list(
    caller: Caller,
    reader: LimitKey,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let (limit, after) = (params.limit()?, params.after_chat()?);
    let memory = limit.memory_of_names();
    let read = state.reads.begin(reader, ReadWeight::Light, memory).await?;
    let page = state.chats.list(caller, after, limit).await?;
    let next = |chat: &Chat| format!("/chat?limit={}&after={}", limit.get(), chat.chat_id);
    Ok(response::list(page, read.end(), next))
}

/// Find a chat
#[utoipa::path(
    get, path = "/chat/{id}", operation_id = "findChat", tag = "chats",
    params(("id" = ChatId, Path, example = 1)),
    responses(
        (status = OK, description = "The chat", body = Chat,
            example = json!(example::chat(1, "general"))),
        refusal::ChatNotFound,
    ),
)]
async fn find(
    caller: Caller,
    Id(id): Id<ChatId>,
    State(state): State<AppState>,
) -> Result<Json<Chat>, Error> {
    state.chats.find(caller, id).await.map(Json)
}

/// Create a chat
///
/// The creator, if known, becomes an admin of the chat. `forbidden` if the creator has reached
/// `MAX_CHATS_PER_USER` chats.
#[utoipa::path(
    post, path = "/chat", operation_id = "createChat", tag = "chats",
    request_body(content = ChatBody, example = json!({ "chatName": "music" })),
    responses(
        (status = CREATED, description = "The new chat", body = Chat, headers(("Location")),
            example = json!(example::chat(3, "music"))),
        refusal::Forbidden,
    ),
)]
async fn create(
    caller: Caller,
    State(state): State<AppState>,
    Body(body): Body<ChatBody>,
) -> Result<Response, Error> {
    let ChatBody { name, topic, data } = body;
    let topic = topic.map(Topic::parse).transpose()?;
    let data = data.map(|data| Data::parse(&data)).transpose()?;
    let name = ChatName::parse(name)?;
    let chat = state.chats.create(caller, name, topic, data).await?;
    Ok(response::created(&format!("/chat/{}", chat.chat_id), chat))
}

/// Change a chat
///
/// Changes the name, the topic or the data. An omitted value stays as it is. Every socket of the chat is sent
/// `update-chat`, but for those of the original API. Admins only.
#[utoipa::path(
    put, path = "/chat/{id}", operation_id = "updateChat", tag = "chats",
    params(("id" = ChatId, Path, example = 2)),
    request_body(content = UpdateBody, example = json!({ "chatName": "noise" })),
    responses(
        (status = OK, description = "The changed chat", body = Chat,
            example = json!(example::chat(2, "noise"))),
        refusal::ChatNotFound, refusal::Forbidden,
    ),
)]
async fn update(
    caller: Caller,
    Id(id): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<UpdateBody>,
) -> Result<Json<Chat>, Error> {
    let update = body.parse()?;
    state.chats.update(caller, id, update).await.map(Json)
}

/// Delete a chat
///
/// Deletes the memberships and messages of the chat too, and disconnects all sockets from the chat.
/// Admins only.
#[utoipa::path(
    delete, path = "/chat/{id}", operation_id = "deleteChat", tag = "chats",
    params(("id" = ChatId, Path, example = 2)),
    responses(
        (status = NO_CONTENT, description = "The chat is deleted"),
        refusal::ChatNotFound, refusal::Forbidden,
    ),
)]
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

/// Add a member
///
/// A route of the original API: a GET that changes data. `PUT /chat/{chat_id}/user/{user_id}` has
/// the same effect.
#[utoipa::path(
    get, path = "/chat/user/{user_id}", operation_id = "addMember", tag = "members",
    params(
        ("user_id" = UserId, Path, example = 3),
        ("chat_id" = ChatId, Query, description = CHAT_PARAMETER, example = 1),
    ),
    responses(
        (status = CREATED, description = "The new member", body = Member,
            example = json!(example::member(3, "participant"))),
        (status = OK, description = "The existing member", body = Member,
            example = json!(example::member(2, "participant"))),
        refusal::UserNotFound, refusal::ChatNotFound, refusal::Forbidden,
    ),
)]
async fn add_member(
    // A page of another site could make a browser send a GET.
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

/// Add a member, or change a role
///
/// Without a `role` or without a body, a new member becomes a participant, and an existing member
/// keeps the role.
#[utoipa::path(
    put, path = "/chat/{chat_id}/user/{user_id}", operation_id = "putMember", tag = "members",
    params(("chat_id" = ChatId, Path, example = 1), ("user_id" = UserId, Path, example = 3)),
    request_body(
        // A reference, so that the body is optional without being null.
        content = ref("#/components/schemas/MemberBody"),
        content_type = "application/json",
        example = json!({ "role": "admin" }),
    ),
    responses(
        (status = CREATED, description = "The new member", body = Member,
            example = json!(example::member(3, "admin"))),
        (status = OK, description = "The existing member", body = Member,
            example = json!(example::member(2, "participant"))),
        refusal::UserNotFound, refusal::ChatNotFound, refusal::Forbidden,
    ),
)]
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

/// Remove a member
///
/// The user receives no further events of the chat. Admins may remove any member, and every member
/// may leave.
#[utoipa::path(
    delete, path = "/chat/user/{user_id}", operation_id = "removeMember", tag = "members",
    params(
        ("user_id" = UserId, Path, example = 2),
        ("chat_id" = ChatId, Query, description = CHAT_PARAMETER, example = 1),
    ),
    responses(
        (status = NO_CONTENT, description = "The user is no longer a member"),
        refusal::UserNotFound, refusal::ChatNotFound, refusal::Forbidden, refusal::MemberNotFound,
    ),
)]
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

/// Remove a member
///
/// The user receives no further events of the chat. Admins may remove any member, and every member
/// may leave.
#[utoipa::path(
    delete, path = "/chat/{chat_id}/user/{user_id}",
    operation_id = "removeMemberByPath", tag = "members",
    params(("chat_id" = ChatId, Path, example = 1), ("user_id" = UserId, Path, example = 2)),
    responses(
        (status = NO_CONTENT, description = "The user is no longer a member"),
        refusal::UserNotFound, refusal::ChatNotFound, refusal::Forbidden, refusal::MemberNotFound,
    ),
)]
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

/// Check the access of a user to a chat
///
/// `hasAccess` is false if the user or the chat does not exist.
#[utoipa::path(
    get, path = "/chat/user/{user_id}/chat/{chat_id}/access",
    operation_id = "hasAccess", tag = "members",
    params(("user_id" = UserId, Path, example = 1), ("chat_id" = ChatId, Path, example = 1)),
    responses(
        (status = OK, description = "The access of the user", body = Access,
            example = json!({ "hasAccess": true })),
    ),
)]
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
