//! Answers to frames from the client: acks and errors.

use super::{
    client::RequestId,
    frame::{Envelope, Frame},
    server::Online,
};
use crate::{
    error::Error,
    model::{ChatId, Epoch, Message, MessageId, Seq},
};
use serde::Serialize;

#[derive(Serialize)]
struct SendAck<'a> {
    #[serde(flatten)]
    message: &'a Message,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteAck {
    message_id: MessageId,
    chat_id: ChatId,
    seq: Seq,
}

/// The content of the `ack` for `connect-chat`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectAck<'a> {
    /// The id of the chat.
    pub chat_id: ChatId,
    /// The last seq before the live frames. Every later change is sent as it happens.
    pub seq: Seq,
    /// The epoch of the log that `seq` belongs to. Omitted if the log has no epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<&'a Epoch>,
    /// Every user with a connection to the chat.
    pub online: &'a [Online],
    /// True if the replay does not cover everything: the client must read the older changes with
    /// REST.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatAck {
    chat_id: ChatId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadAck {
    chat_id: ChatId,
    message_id: MessageId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorContent<'a> {
    error: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Frame {
    /// Builds the ack of `connect-chat`.
    #[must_use]
    pub fn connected(id: &RequestId, ack: &ConnectAck<'_>) -> Self {
        Envelope::answering(Some(id), "ack", ack).frame()
    }

    /// Builds the ack of `send-message`. `duplicate` is true if the idempotency key was already
    /// used.
    #[must_use]
    pub fn sent(id: &RequestId, message: &Message, duplicate: bool) -> Self {
        Envelope::answering(Some(id), "ack", SendAck { message, duplicate }).frame()
    }

    /// Builds the ack of `update-message`.
    #[must_use]
    pub fn edited(id: &RequestId, message: &Message) -> Self {
        Envelope::answering(Some(id), "ack", message).frame()
    }

    /// Builds the ack of `delete-message`.
    #[must_use]
    pub fn deleted(id: &RequestId, message: &Message) -> Self {
        let Message {
            message_id,
            chat_id,
            seq,
            ..
        } = *message;
        Envelope::answering(
            Some(id),
            "ack",
            DeleteAck {
                message_id,
                chat_id,
                seq,
            },
        )
        .frame()
    }

    /// Builds the ack of `leave-chat`.
    #[must_use]
    pub fn left(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// Builds the error frame of a refused request. `id` is `None` if the request had no id.
    #[must_use]
    pub fn error(id: Option<&RequestId>, error: &Error) -> Self {
        let content = ErrorContent {
            error: error.message(),
            code: error.code().as_str(),
            retry_after_ms: error.retry_after_ms(),
        };
        Envelope::answering(id, "error", content).frame()
    }

    /// Builds the ack of `start-typing`. The ack is sent even if the broadcast was suppressed
    /// because the user's previous one is recent.
    #[must_use]
    pub fn typed(id: &RequestId, chat: ChatId) -> Self {
        Envelope::answering(Some(id), "ack", ChatAck { chat_id: chat }).frame()
    }

    /// Builds the ack of `mark-read`. `position` is the stored read position, which never moves
    /// back.
    #[must_use]
    pub fn marked(id: &RequestId, chat: ChatId, position: MessageId) -> Self {
        let content = ReadAck {
            chat_id: chat,
            message_id: position,
        };
        Envelope::answering(Some(id), "ack", content).frame()
    }
}
