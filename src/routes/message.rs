//! `/chat/{chat_id}/message`, `/chat/{chat_id}/read` and `/message`: messages and read positions.

use super::{
    extract::{Body, Id, Params},
    response,
};
use crate::{
    auth::Caller,
    delivery::{MessageRef, Outcome},
    error::Error,
    middleware::LOG_EPOCH,
    model::{ChatId, ClientMessageId, Content, Message, MessageId, NewMessage, UserId},
    state::AppState,
};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/chat/{chat_id}/message", get(list).post(send))
        .route("/chat/{chat_id}/read", put(mark))
        .route("/message/{message_id}", get(find).put(edit).delete(remove))
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

async fn list(
    caller: Caller,
    Id(chat): Id<ChatId>,
    params: Params,
    State(state): State<AppState>,
) -> Result<Response, Error> {
    let limit = params.limit()?;
    let (before, since, text) = (params.before()?, params.since()?, params.text()?);
    if let Some(since) = since {
        if before.is_some() || text.is_some() {
            return Err(Error::invalid_field("since", "given without before and q"));
        }
        let (page, epoch) = state.messages.since(caller, chat, &since, limit).await?;
        let named = since.epoch.map(|_| format!("&epoch={}", epoch.as_str()));
        let named = named.unwrap_or_default();
        let mut response = response::list(page, |message| {
            let (limit, seq) = (limit.get(), message.seq);
            format!("/chat/{chat}/message?limit={limit}&since={seq}{named}")
        });
        response::put(&mut response, LOG_EPOCH, epoch.as_str());
        return Ok(response);
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
    Ok(response::linked(page.rows, next))
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn send(
    caller: Caller,
    Id(chat): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<SendBody>,
) -> Result<Response, Error> {
    let mut pending = state.messages.send(caller, body.parse(chat)?)?;
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

async fn find(
    caller: Caller,
    Id(id): Id<MessageId>,
    State(state): State<AppState>,
) -> Result<Json<Message>, Error> {
    state.messages.find(caller, id).await.map(Json)
}

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
        .edit(caller, body.customer_id, chat, which, content)?;
    pending.answer().await?.into_message().map(Json)
}

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

async fn mark(
    caller: Caller,
    Id(chat_id): Id<ChatId>,
    State(state): State<AppState>,
    Body(body): Body<ReadBody>,
) -> Result<Json<ReadReply>, Error> {
    let user = caller.require_user(body.customer_id)?;
    let message_id = state
        .reads
        .read(caller, user, chat_id, body.message_id)
        .await?;
    Ok(Json(ReadReply {
        chat_id,
        message_id,
    }))
}
