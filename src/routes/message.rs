//! `/chat/{chat_id}/message`, `/chat/{chat_id}/read` and `/message`: messages and read positions.

use super::{
    extract::{Body, Id, Params},
    openapi::{example, query, refusal},
    response,
};
use crate::{
    auth::Caller,
    delivery::{MessageRef, Outcome},
    error::Error,
    model::{ChatId, ClientMessageId, Content, Message, MessageId, NewMessage, Seq, UserId},
    rate_limit::{LimitKey, ReadWeight},
    state::AppState,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, send))
        .routes(routes!(mark))
        .routes(routes!(find, edit, remove))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewMessage)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendBody {
    #[schema(value_type = Content)]
    content: String,
    /// The id of the author. Required in open mode without a token. With a token it is optional; if
    /// given, it must be the id of the token's user.
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
    #[schema(value_type = Option<ClientMessageId>)]
    client_message_id: Option<String>,
    /// The id of the message that this message replies to. It must belong to this chat. Null or
    /// omitted if the message is no reply.
    reply_to: Option<MessageId>,
}

impl SendBody {
    /// Checks the texts, and returns the message with its claimed author.
    fn parse(self, chat: ChatId) -> Result<NewMessage<Option<UserId>>, Error> {
        Ok(NewMessage {
            author: self.customer_id,
            chat,
            content: Content::parse(self.content)?,
            client_message_id: self
                .client_message_id
                .map(ClientMessageId::parse)
                .transpose()?,
            reply_to: self.reply_to,
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edit {
    #[schema(value_type = Content)]
    content: String,
    /// The id of the user who edits the message. If omitted: the token's user, or the author in
    /// open mode without a token.
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
}

/// List a chat's messages
///
/// Lists the newest messages, ordered from old to new; `before` selects older pages. `q` selects
/// the messages that contain a text. `since` selects all messages with a later change, ordered by
/// `seq`, each in its present state; it cannot be combined with `before` or `q`. With `since`, the
/// header `Log-Epoch` names the epoch of the log, which changes after an import or a restore from a
/// backup. A page ends before it exceeds 1 MiB of text, so a short page may have a `Link` to a next
/// page.
#[utoipa::path(
    get, path = "/chat/{chat_id}/message", operation_id = "listMessages", tag = "messages",
    params(
        ("chat_id" = ChatId, Path, example = 2),
        query::PageSize,
        ("before" = Option<MessageId>, Query, example = 11,
            description = "Only messages with a smaller id"),
        ("since" = Option<Seq>, Query, example = 7,
            description = "Only messages with a change after this `seq`"),
        ("epoch" = Option<String>, Query, example = json!(example::EPOCH),
            description = "With `since`: the epoch of that `seq`. `invalid_field` if the log has \
                           another epoch"),
        ("q" = Option<String>, Query, example = "there",
            min_length = 1, max_length = 256, pattern = r"^[^\u0000]+$",
            description = "The text to search for, at most 256 bytes. Case and accents are ignored. \
                           A page compares at most 20,000 messages or 8 MiB of text, so a short \
                           or empty page may have a `Link`"),
    ),
    responses(
        (status = OK, description = "Messages", body = Vec<Message>,
            headers(("Link"), ("Log-Epoch")), example = example::messages),
        refusal::ChatNotFound,
    ),
)]
async fn list(
    caller: Caller,
    reader: LimitKey,
    Id(chat): Id<ChatId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let (before, since, text) = (params.before()?, params.since()?, params.text()?);
    if since.is_some() && (before.is_some() || text.is_some()) {
        return Err(Error::invalid_field("since", "given without before and q"));
    }
    let weight = match (&before, &since, &text) {
        (None, None, None) => ReadWeight::Light,
        _ => ReadWeight::Heavy,
    };
    let memory = limit.memory_of_messages();
    let read = state.reads.begin(reader, weight, memory).await?;
    if let Some(since) = since {
        let (page, epoch) = state.messages.since(caller, chat, &since, limit).await?;
        let memory = read.end_with(memory_of(&page.rows));
        let log = (&since, &epoch);
        return Ok(response::log(page, memory, log, |message| {
            let (limit, seq) = (limit.get(), message.seq);
            format!("/chat/{chat}/message?limit={limit}&since={seq}")
        }));
    }
    let (page, asked) = match &text {
        None => {
            let page = state.messages.page(caller, chat, before, limit);
            (page.await?, String::new())
        }
        Some((raw, text)) => {
            let page = state.messages.search(caller, chat, text, before, limit);
            (page.await?, format!("&q={}", form_encoded(raw)))
        }
    };
    let next = page.next.map(|before| {
        let limit = limit.get();
        format!("/chat/{chat}/message?limit={limit}&before={before}{asked}")
    });
    let memory = read.end_with(memory_of(&page.rows));
    Ok(response::linked(page.rows, memory, next))
}

fn memory_of(rows: &[Message]) -> usize {
    rows.iter().map(Message::memory).sum()
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Send a message
///
/// Publishes the message to all sockets of the chat, like a message sent over the WebSocket.
/// `clientMessageId` is an idempotency key: a repeated send with the same key, user and chat stores
/// no second message, at any later time.
#[utoipa::path(
    post, path = "/chat/{chat_id}/message", operation_id = "sendMessage", tag = "messages",
    params(("chat_id" = ChatId, Path, example = 1)),
    request_body(content = SendBody,
        example = json!({ "customerId": 1, "content": "Hi world." })),
    responses(
        (status = CREATED, description = "The message", body = Message, headers(("Location")),
            example = json!(example::message(11, "Hi world.", 8))),
        (status = OK,
            description = "The message that an earlier request with this `clientMessageId` stored",
            body = Message,
            example = example::see_you_there),
        refusal::UserNotFound, refusal::ChatNotFound, refusal::Forbidden,
    ),
)]
async fn send(
    caller: Caller,
    Id(chat): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<SendBody>,
) -> Result<Response, Error> {
    let mut pending = state.messages.send(caller, body.parse(chat)?)?.submit()?;
    match pending.answer().await? {
        Outcome::Duplicate(message) => Ok(Json(message).into_response()),
        answer => {
            let message = answer.into_message()?;
            Ok(response::created(
                &format!("/message/{}", message.message_id),
                message,
            ))
        }
    }
}

/// Find a message
///
/// Finds a deleted message too; its `content` is null.
#[utoipa::path(
    get, path = "/message/{message_id}", operation_id = "findMessage", tag = "messages",
    params(("message_id" = MessageId, Path, example = 10)),
    responses(
        (status = OK, description = "The message", body = Message,
            example = example::see_you_there),
        refusal::MessageNotFound,
    ),
)]
async fn find(
    caller: Caller,
    reader: LimitKey,
    Id(id): Id<MessageId>,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let message = state.messages.find(caller, id).await?;
    response::message(&state.reads, reader, message).await
}

/// Edit a message
///
/// Only the author may edit the message.
#[utoipa::path(
    put, path = "/message/{message_id}", operation_id = "editMessage", tag = "messages",
    params(("message_id" = MessageId, Path, example = 10)),
    request_body(content = Edit,
        example = json!({ "customerId": 1, "content": "See you at nine." })),
    responses(
        (status = OK, description = "The edited message", body = Message,
            example = example::edited),
        refusal::MessageNotFound, refusal::ChatNotFound, refusal::UserNotFound, refusal::Forbidden,
    ),
)]
async fn edit(
    caller: Caller,
    Id(id): Id<MessageId>,
    State(state): State<AppState>,
    Body(body): Body<Edit>,
) -> Result<Json<Message>, Error> {
    let content = Content::parse(body.content)?;
    let chat = state.messages.chat_of(caller, id).await?;
    let which = MessageRef::Message(id);
    let mut pending = state
        .messages
        .edit(caller, body.customer_id, chat, which, content)?
        .submit()?;
    pending.answer().await?.into_message().map(Json)
}

/// Delete a message
///
/// Only the author or an admin of the chat may delete the message.
#[utoipa::path(
    delete, path = "/message/{message_id}", operation_id = "deleteMessage", tag = "messages",
    params(
        ("message_id" = MessageId, Path, example = 10),
        ("customerId" = Option<UserId>, Query, example = 1,
            description = "The acting user, in open mode. If omitted, the author of the message"),
    ),
    responses(
        (status = NO_CONTENT, description = "The message is deleted"),
        refusal::MessageNotFound, refusal::ChatNotFound, refusal::UserNotFound, refusal::Forbidden,
    ),
)]
async fn remove(
    caller: Caller,
    Id(id): Id<MessageId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<StatusCode, Error> {
    let actor = params.user()?;
    let chat = state.messages.chat_of(caller, id).await?;
    state
        .messages
        .delete(caller, actor, chat, id)?
        .submit()?
        .answer()
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadBody {
    /// The id of the last message that was read.
    message_id: MessageId,
    /// The id of the reader. Required in open mode without a token. With a token it is optional; if
    /// given, it must be the id of the token's user.
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadReply {
    chat_id: ChatId,
    message_id: MessageId,
}

/// Mark messages as read
///
/// Moves the read position forward, never back. All sockets of the chat receive the new position.
#[utoipa::path(
    put, path = "/chat/{chat_id}/read", operation_id = "markRead", tag = "messages",
    params(("chat_id" = ChatId, Path, example = 1)),
    request_body(content = ReadBody, example = json!({ "customerId": 2, "messageId": 10 })),
    responses(
        (status = OK, description = "The read position", body = ReadReply,
            example = json!({ "chatId": 1, "messageId": 10 })),
        refusal::MessageNotFound, refusal::ChatNotFound, refusal::UserNotFound, refusal::Forbidden,
        refusal::MemberNotFound,
    ),
)]
async fn mark(
    caller: Caller,
    Id(chat_id): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<ReadBody>,
) -> Result<Json<ReadReply>, Error> {
    let user = caller.require_user(body.customer_id)?;
    let message_id = state
        .receipts
        .read(caller, user, chat_id, body.message_id)
        .await?;
    Ok(Json(ReadReply {
        chat_id,
        message_id,
    }))
}
