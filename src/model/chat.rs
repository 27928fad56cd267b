//! A chat.

use super::{ChatId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A chat, without its members and messages.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// The chat's id.
    pub chat_id: ChatId,
    /// The chat's name; several chats may share one.
    pub chat_name: String,
    /// When the chat was made.
    pub created_at: Timestamp,
}
