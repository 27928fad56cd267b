//! `/chat/{chat_id}/change`: the log of a chat.

use super::{
    extract::{Id, Params},
    openapi::{example, query, refusal},
    response,
};
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, Seq, Since, UserId},
    rate_limit::{LimitKey, ReadWeight},
    state::AppState,
};
use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Latest change of a message, of a membership or of the chat itself. `/asyncapi.yaml` describes the content of each
/// type.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    /// Type of the frame that a socket would be sent.
    #[serde(rename = "type")]
    #[schema(example = "update-member")]
    kind: String,
    /// The thing after the change: a message, the id of a deleted message, a membership or the chat.
    content: serde_json::Value,
    /// Id of the chat.
    chat_id: ChatId,
    /// Id of the user who made the change; null for the server, and for an unnamed caller in open mode.
    #[schema(required)]
    customer_id: Option<UserId>,
    /// Number of the change.
    seq: Seq,
}

/// List a chat's changes
///
/// Lists the things that changed after `since`, ordered by `seq`, each in its present state: messages, memberships and
/// the chat itself. The rows are the frames that a socket with this `since` would be sent. The header `Log-Epoch` names
/// the epoch of the log, which changes after an import or a restore from a backup. A page ends before it exceeds 1 MiB
/// of text, so a short page may have a `Link` to a next page.
#[utoipa::path(
    get, path = "/chat/{chat_id}/change", operation_id = "listChanges", tag = "chats",
    params(
        ("chat_id" = ChatId, Path, example = 2),
        query::PageSize,
        ("since" = Option<Seq>, Query, example = 0,
            description = "Only changes after this `seq`; 0 if omitted"),
        ("epoch" = Option<String>, Query, example = json!(example::EPOCH),
            description = "The epoch of `since`. `invalid_field` if the log has another epoch"),
    ),
    responses(
        (status = OK, description = "Changes", body = Vec<Change>,
            headers(("Link"), ("Log-Epoch")), example = example::changes),
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
    let (limit, since) = (params.limit()?, params.since()?);
    let since = since.unwrap_or(Since {
        seq: Seq(0),
        epoch: None,
    });
    let memory = limit.memory_of_messages();
    let read = state.reads.begin(reader, ReadWeight::Heavy, memory).await?;
    let (page, epoch) = state.messages.changes(caller, chat, &since, limit).await?;
    let held = page.rows.iter().map(|change| change.entry.memory()).sum();
    let memory = read.end_with(held);
    let log = (&since, &epoch);
    Ok(response::log(page, memory, log, |change| {
        let (limit, seq) = (limit.get(), change.entry.seq());
        format!("/chat/{chat}/change?limit={limit}&since={seq}")
    }))
}
