//! `/chat/{chat_id}/read`: how far somebody has read.

use super::extract::{Body, Id};
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, MessageId, UserId},
    state::AppState,
};
use axum::{Json, Router, extract::State, routing::put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/chat/{chat_id}/read", put(mark))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadBody {
    /// The message read last.
    message_id: MessageId,
    /// Who read it: required in open mode, else the token's user.
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
    let user = caller.someone(body.customer_id)?;
    let message_id = state
        .reads
        .read(caller, user, chat_id, body.message_id)
        .await?;
    Ok(Json(ReadReply {
        chat_id,
        message_id,
    }))
}
