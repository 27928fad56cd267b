//! Messages: a new one until its commit, and a stored one as the database keeps it and clients receive it.

use super::{
    id::{ChatId, MessageId, Seq, UserId},
    text::{ClientMessageId, Content},
    timestamp::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

/// Message to send, from its parsing to its commit. A parsed message holds the author that the client
/// claims, `NewMessage<Option<UserId>>`. The message service replaces the claim by the acting user.
#[derive(Clone, Debug)]
pub struct NewMessage<Author = UserId> {
    /// Author of the message. A claim is None if the client names no author.
    pub author: Author,
    /// Chat that the message is sent to.
    pub chat: ChatId,
    /// Text of the message.
    pub content: Content,
    /// Idempotency key that the client chose, unique for one author in one chat; None if the client chose
    /// none.
    pub client_message_id: Option<ClientMessageId>,
    /// Message that the message replies to, in the same chat; None if it is not a reply.
    pub reply_to: Option<MessageId>,
}

impl NewMessage<Option<UserId>> {
    /// Replaces the claimed author by the acting user.
    #[must_use]
    pub fn sent_by(self, author: UserId) -> NewMessage {
        NewMessage {
            author,
            chat: self.chat,
            content: self.content,
            client_message_id: self.client_message_id,
            reply_to: self.reply_to,
        }
    }
}

impl NewMessage {
    /// Returns the message as stored, with the values that its commit assigned and the name of its author.
    #[must_use]
    pub fn stored(
        self,
        (message_id, seq): (MessageId, Seq),
        username: Option<String>,
        sent_at: Timestamp,
    ) -> Message {
        Message {
            message_id,
            chat_id: self.chat,
            customer_id: Some(self.author),
            username,
            content: Some(self.content.into_string()),
            seq,
            sent_at,
            edited_at: None,
            deleted_at: None,
            reply_to: self.reply_to,
            client_message_id: self.client_message_id.map(ClientMessageId::into_string),
            sent_seq: seq,
            deleted_by: None,
        }
    }
}

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

    /// Returns the memory of the message, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let texts = [&self.content, &self.username, &self.client_message_id];
        let texts = texts.into_iter().flatten().map(String::len);
        size_of::<Self>() + texts.sum::<usize>()
    }
}
