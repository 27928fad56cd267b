//! A message.

use super::{
    id::{ChatId, MessageId, Seq, UserId},
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A message in its present state. A deleted one stays as a tombstone without content.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The message's id.
    pub message_id: MessageId,
    /// The chat it was sent to.
    pub chat_id: ChatId,
    /// Its author; null once the author was deleted.
    #[schema(required)]
    pub customer_id: Option<UserId>,
    /// The author's stored name; null once the author was deleted.
    #[schema(required)]
    pub username: Option<String>,
    /// The text; null once deleted.
    #[schema(required)]
    pub content: Option<String>,
    /// The number of its latest change in the chat.
    pub seq: Seq,
    /// When it was stored.
    pub sent_at: Timestamp,
    /// When it was last edited.
    #[schema(required)]
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    #[schema(required)]
    pub deleted_at: Option<Timestamp>,
    /// The message it answers, in the same chat.
    #[schema(required)]
    pub reply_to: Option<MessageId>,
    /// The name its sender gave it.
    #[schema(required)]
    pub client_message_id: Option<String>,
    /// The number of the change that sent it: tells a resuming client's new messages from edits.
    #[serde(skip)]
    pub sent_seq: Seq,
    /// Who deleted it.
    #[serde(skip)]
    pub deleted_by: Option<UserId>,
}

impl Message {
    /// How many bytes of text it carries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.content.as_ref().map_or(0, String::len)
    }
}
