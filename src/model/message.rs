//! Messages, as the database stores them and as clients receive them.

use super::{
    id::{ChatId, MessageId, Seq, UserId},
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// Message in its present state. A deleted message stays as a tombstone without content.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the chat that the message was sent to.
    pub chat_id: ChatId,
    /// Id of the author; null if the author was deleted.
    #[schema(required)]
    pub customer_id: Option<UserId>,
    /// Stored name of the author; null if the author was deleted.
    #[schema(required)]
    pub username: Option<String>,
    /// Text of the message; null if the message is deleted.
    #[schema(required)]
    pub content: Option<String>,
    /// Number of the latest change of the message: its sending, an edit or its deletion.
    pub seq: Seq,
    /// Time at which the message was stored.
    pub sent_at: Timestamp,
    /// Time of the last edit; null if the message was never edited.
    #[schema(required)]
    pub edited_at: Option<Timestamp>,
    /// Time of the deletion; null if the message is not deleted.
    #[schema(required)]
    pub deleted_at: Option<Timestamp>,
    /// Id of the message in this chat that the message replies to; null if it is not a reply.
    #[schema(required)]
    pub reply_to: Option<MessageId>,
    /// Idempotency key that the sender gave the message; null if the sender gave none.
    #[schema(required)]
    pub client_message_id: Option<String>,
    /// Number of the change that sent the message. During a replay it tells new messages from edited ones.
    #[serde(skip)]
    pub sent_seq: Seq,
    /// Id of the user who deleted the message; None if the message is not deleted or the user is unknown.
    #[serde(skip)]
    pub deleted_by: Option<UserId>,
}

impl Message {
    /// Returns the size of the content, in bytes; 0 if the message is deleted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.content.as_ref().map_or(0, String::len)
    }
}
