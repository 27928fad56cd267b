//! Checks on frames from other nodes: a frame that does not match its chat and seq is not passed on
//! to sockets.

use super::frame::Frame;
use crate::model::{ChatId, Seq};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::str;

/// The fields of a frame that the checks read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerEnvelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    content: &'a RawValue,
    chat_id: Option<ChatId>,
    seq: Option<Seq>,
}

/// The chat and seq inside a serialized message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangePosition {
    chat_id: ChatId,
    seq: Seq,
}

impl Frame {
    /// Returns true if the frame reports the change `seq` of `chat`.
    #[must_use]
    pub fn is_change(&self, chat: ChatId, seq: Seq) -> bool {
        let Some(envelope) = self.envelope() else {
            return false;
        };
        let position = match envelope.kind.as_str() {
            // A node of an older version writes the position into the message alone.
            "send-message" | "update-message" => {
                let position = serde_json::from_str(envelope.content.get()).ok();
                position.map(|ChangePosition { chat_id, seq }| (chat_id, seq))
            }
            _ => envelope.chat_id.zip(envelope.seq),
        };
        position == Some((chat, seq))
    }

    /// Returns true if the frame is an ephemeral event (join, leave, typing or read position) of
    /// `chat`.
    #[must_use]
    pub fn is_ephemeral(&self, chat: ChatId) -> bool {
        self.envelope().is_some_and(|envelope| {
            matches!(
                envelope.kind.as_str(),
                "join" | "leave" | "start-typing" | "read"
            ) && envelope.chat_id == Some(chat)
        })
    }

    fn envelope(&self) -> Option<PeerEnvelope<'_>> {
        serde_json::from_str(str::from_utf8(self.text()).ok()?).ok()
    }
}
