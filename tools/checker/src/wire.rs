//! Parses the frames and answers of the server.

use crate::{
    acts,
    directory::Role,
    record::{Ack, ChatId, Frame, FrameKind, Membership, State, Thing, UserId},
};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A frame that came on a socket.
pub enum Incoming {
    /// A change in a chat.
    Change(ChatId, Frame),
    /// The answer to the frame with this id: its content, or an error code and its sentence.
    Answer(u64, Result<Value, (String, String)>),
    /// The refusal of a frame without an id: its code and its sentence.
    Refused(String, String),
    /// The heads of the socket's chats.
    Heartbeat(Vec<(ChatId, i64)>),
    /// The user is no member of this chat any more.
    Removed(ChatId),
    /// A join or leave frame, which is not recorded.
    Ignored,
    /// A frame of a type that a client of the original API does not know, and that is not recorded.
    New,
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
    if frame.get("seq").is_some() {
        return change(frame).map(|(chat, frame)| Incoming::Change(chat, frame));
    }
    Some(match frame["type"].as_str()? {
        "ack" => Incoming::Answer(frame["id"].as_u64()?, Ok(content.clone())),
        "error" => {
            let code = content["code"].as_str()?.to_owned();
            let sentence = content["error"].as_str()?.to_owned();
            match frame.get("id") {
                Some(id) => Incoming::Answer(id.as_u64()?, Err((code, sentence))),
                None => Incoming::Refused(code, sentence),
            }
        }
        "heartbeat" => {
            let heads = content.as_object()?.iter();
            let heads = heads.map(|(chat, seq)| Some((chat.parse().ok()?, seq.as_i64()?)));
            Incoming::Heartbeat(heads.collect::<Option<_>>()?)
        }
        "leave-chat" => Incoming::Removed(content.as_i64()?),
        "join" | "leave" => Incoming::Ignored,
        "update-user" => Incoming::New,
        _ => return None,
    })
}

/// Reads a frame that reports a change: from a socket, or from the list of a chat's changes. Returns `None` if the
/// fields beside its type are missing or differ from those of its content.
pub fn change(frame: &Value) -> Option<(ChatId, Frame)> {
    let (chat, seq) = (frame["chatId"].as_i64()?, frame["seq"].as_i64()?);
    let by = match frame.get("customerId")? {
        Value::Null => None,
        by => Some(by.as_i64()?),
    };
    let content = &frame["content"];
    let message = |kind| {
        let fits = content["chatId"].as_i64() == Some(chat)
            && content["seq"].as_i64() == Some(seq)
            && content["customerId"].as_i64() == by;
        let id = content["messageId"].as_i64().filter(|_| fits)?;
        let state = State::of(content["content"].as_str());
        Some((kind, Thing::Message(id), state))
    };
    let (kind, thing, state) = match frame["type"].as_str()? {
        "send-message" => message(FrameKind::Sent)?,
        "update-message" => message(FrameKind::Edited)?,
        "delete-message" => {
            let thing = Thing::Message(content.as_i64()?);
            (FrameKind::Deleted, thing, State::Deleted)
        }
        "update-member" => {
            let user = content["customerId"].as_i64()?;
            (FrameKind::Member, Thing::Member(user), member(content, by)?)
        }
        "update-chat" => {
            let state = named(content).filter(|_| content["chatId"].as_i64() == Some(chat));
            let state = state.filter(|_| by.is_none());
            (
                FrameKind::Chat,
                Thing::Chat,
                state.unwrap_or(State::Foreign),
            )
        }
        _ => return None,
    };
    let change = Frame {
        replay: frame["replay"] == true,
        kind,
        thing,
        seq,
        state,
    };
    Some((chat, change))
}

/// Reads the content of `update-member`.
fn member(content: &Value, by: Option<UserId>) -> Option<State> {
    let state = match (content.get("role")?, content.get("joinedAt")?) {
        (Value::Null, Value::Null) => Some(Membership {
            role: None,
            rest: 0,
        }),
        _ => membership(content),
    };
    content.get("username")?;
    Some(state.map_or(State::Foreign, |state| State::Member(state, by)))
}

/// Reads a member from the list of a chat's members, or from a frame.
pub fn membership(member: &Value) -> Option<Membership> {
    let mut hasher = DefaultHasher::new();
    let texts = (member["username"].as_str()?, member["joinedAt"].as_str()?);
    texts.hash(&mut hasher);
    Some(Membership {
        role: Some(Role::parse(member["role"].as_str()?)?),
        rest: hasher.finish(),
    })
}

/// Reads a chat that an act has named. Returns `None` if its name, its topic and its data are not of one act.
pub fn named(chat: &Value) -> Option<State> {
    let act = acts::of_name(chat["chatName"].as_str()?)?;
    let fits = chat["topic"] == acts::topic(act) && chat["data"] == json!({ "of": act.key() });
    fits.then_some(State::Named(act))
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
