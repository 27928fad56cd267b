//! Parses the frames and answers of the server.

use crate::record::{Ack, ChatId, Frame, FrameKind, State};
use serde_json::Value;

/// A frame that came on a socket.
pub enum Incoming {
    /// A change of a message in a chat.
    Change(ChatId, Frame),
    /// The answer to the frame with this id: its content, or an error code and its sentence.
    Answer(u64, Result<Value, (String, String)>),
    /// The heads of the socket's chats.
    Heartbeat(Vec<(ChatId, i64)>),
    /// A join or leave frame, which is not recorded.
    Ignored,
    /// A frame that the server never sends to a client of the checker.
    Invalid,
}

/// Reads a text frame.
pub fn read(text: &str) -> Incoming {
    serde_json::from_str(text)
        .ok()
        .and_then(|frame| understand(&frame))
        .unwrap_or(Incoming::Invalid)
}

fn understand(frame: &Value) -> Option<Incoming> {
    let content = &frame["content"];
    Some(match frame["type"].as_str()? {
        "send-message" => of_message(frame, FrameKind::Sent)?,
        "update-message" => of_message(frame, FrameKind::Edited)?,
        "delete-message" => {
            let deleted = Frame {
                replay: frame["replay"] == true,
                kind: FrameKind::Deleted,
                message: content.as_i64()?,
                seq: frame["seq"].as_i64()?,
                state: State::Deleted,
            };
            Incoming::Change(frame["chatId"].as_i64()?, deleted)
        }
        "ack" => Incoming::Answer(frame["id"].as_u64()?, Ok(content.clone())),
        "error" => {
            let code = content["code"].as_str()?.to_owned();
            let sentence = content["error"].as_str()?.to_owned();
            Incoming::Answer(frame["id"].as_u64()?, Err((code, sentence)))
        }
        "heartbeat" => {
            let heads = content.as_object()?.iter();
            let heads = heads.map(|(chat, seq)| Some((chat.parse().ok()?, seq.as_i64()?)));
            Incoming::Heartbeat(heads.collect::<Option<_>>()?)
        }
        "join" | "leave" => Incoming::Ignored,
        _ => return None,
    })
}

fn of_message(frame: &Value, kind: FrameKind) -> Option<Incoming> {
    let message = &frame["content"];
    let change = Frame {
        replay: frame["replay"] == true,
        kind,
        message: message["messageId"].as_i64()?,
        seq: message["seq"].as_i64()?,
        state: State::of(message["content"].as_str()),
    };
    Some(Incoming::Change(message["chatId"].as_i64()?, change))
}

/// Reads the ack of a send, an edit or a deletion.
pub fn ack(content: &Value) -> Option<Ack> {
    Some(Ack {
        message: content["messageId"].as_i64()?,
        seq: Some(content["seq"].as_i64()?),
        // A deletion's ack has no text at all.
        state: content.get("content").map(|text| State::of(text.as_str())),
        duplicate: content["duplicate"] == true,
    })
}

/// The code and the sentence of a refusal.
pub fn refusal(body: &Value) -> (String, String) {
    let text = |field: &str| body[field].as_str().map(ToOwned::to_owned);
    let code = text("code").unwrap_or_else(|| "unavailable".to_owned());
    (code, text("error").unwrap_or_default())
}

/// True if a refused operation may have happened nevertheless. `unavailable` leaves that open, unless its
/// sentence says that nothing was stored or done.
pub fn leaves_open(code: &str, sentence: &str) -> bool {
    let says_not = ["nothing was stored", "nothing was done"];
    code == "unavailable" && !says_not.iter().any(|not| sentence.contains(not))
}
