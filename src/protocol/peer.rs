//! Whether a frame that another server has made is one that sockets may be sent.

use super::server::Frame;
use crate::model::{ChatId, Seq};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::str;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    content: &'a RawValue,
    chat_id: Option<ChatId>,
    seq: Option<Seq>,
}

/// What a message says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    chat_id: ChatId,
    seq: Seq,
}

impl Frame {
    /// Whether it tells of that change of that chat.
    #[must_use]
    pub fn is_change(&self, chat: ChatId, seq: Seq) -> bool {
        let Some(envelope) = self.envelope() else {
            return false;
        };
        let place = match envelope.kind.as_str() {
            "send-message" | "update-message" => {
                let place = serde_json::from_str(envelope.content.get());
                place.ok().map(|Place { chat_id, seq }| (chat_id, seq))
            }
            "delete-message" => envelope.chat_id.zip(envelope.seq),
            _ => None,
        };
        place == Some((chat, seq))
    }

    /// Whether it is of the moment, and of that chat.
    #[must_use]
    pub fn is_of_the_moment(&self, chat: ChatId) -> bool {
        self.envelope().is_some_and(|envelope| {
            matches!(
                envelope.kind.as_str(),
                "join" | "leave" | "start-typing" | "read"
            ) && envelope.chat_id == Some(chat)
        })
    }

    fn envelope(&self) -> Option<Envelope<'_>> {
        serde_json::from_str(str::from_utf8(self.as_bytes()).ok()?).ok()
    }
}
