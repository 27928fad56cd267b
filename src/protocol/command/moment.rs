//! What a client tells of the moment: that somebody types, and how far they have read.

use crate::{
    error::Error,
    model::{ChatId, MessageId, UserId},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Somebody is typing.
#[derive(Debug)]
pub struct StartTyping {
    /// Where.
    pub chat: ChatId,
    /// Who, if they say so.
    pub user: Option<UserId>,
}

/// How far somebody has read.
#[derive(Debug)]
pub struct MarkRead {
    /// Where.
    pub chat: ChatId,
    /// The last message that they have read.
    pub message: MessageId,
    /// Who, if they say so.
    pub user: Option<UserId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypingContent {
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadContent {
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
    message_id: MessageId,
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
}

pub(super) fn typing(content: Option<&RawValue>) -> Result<StartTyping, Error> {
    super::read(content).map(|c: TypingContent| StartTyping {
        chat: c.chat_id,
        user: c.customer_id,
    })
}

pub(super) fn read(content: Option<&RawValue>) -> Result<MarkRead, Error> {
    super::read(content).map(|c: ReadContent| MarkRead {
        chat: c.chat_id,
        message: c.message_id,
        user: c.customer_id,
    })
}
