//! Frames of the moment: who types, and how far somebody has read. A slow reader may lose them.

use super::{ChatAck, Envelope, Frame, Online};
use crate::{
    model::{ChatId, MessageId, UserId},
    protocol::RequestId,
};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadAck {
    chat_id: ChatId,
    message_id: MessageId,
}

impl Frame {
    /// Somebody is typing.
    #[must_use]
    pub fn typing(chat: ChatId, who: &Online) -> Self {
        Self::presence("start-typing", chat, who)
    }

    /// A `start-typing` was taken note of; whether the chat was told of it, or had been a moment
    /// before, makes no difference to the sender.
    #[must_use]
    pub fn typed(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// Somebody has read up to this message.
    #[must_use]
    pub fn read(chat: ChatId, user: UserId, message: MessageId) -> Self {
        Envelope {
            chat_id: Some(chat),
            customer_id: Some(user),
            ..Envelope::new("read", message)
        }
        .frame()
    }

    /// How far the sender has read, after their `mark-read`.
    #[must_use]
    pub fn marked(id: &RequestId, chat: ChatId, position: MessageId) -> Self {
        let content = ReadAck {
            chat_id: chat,
            message_id: position,
        };
        Envelope::answering(Some(id), "ack", content).frame()
    }
}
