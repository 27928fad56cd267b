//! Frames from a client: their types, and how the text of a WebSocket message is parsed into them.

use crate::{
    error::{Code, Error},
    json,
    model::{ChatId, ClientMessageId, Content, MessageId, NewMessage, Since, UserId, Username},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The client's id for a frame: a JSON string or number, returned in the answer exactly as
/// received.
pub type RequestId = Box<RawValue>;

/// A frame from a client: its id, and its command or the reason why it cannot be parsed.
#[derive(Debug)]
pub struct Request {
    /// The frame's `id`. If present, exactly one `ack` or `error` answers the frame. `None` if
    /// absent or null.
    pub id: Option<RequestId>,
    /// The command, or the error to answer with.
    pub command: Result<ClientCommand, Error>,
}

/// The command of a client's frame.
#[derive(Debug)]
pub enum ClientCommand {
    /// `connect-chat`
    Connect(Connect),
    /// `send-message`: the message, with its claimed author.
    Send(NewMessage<Option<UserId>>),
    /// `update-message`
    Update(UpdateMessage),
    /// `delete-message`
    Delete(DeleteMessage),
    /// `leave-chat`
    Leave(ChatId),
    /// `start-typing`
    Typing(StartTyping),
    /// `mark-read`
    Read(MarkRead),
}

impl ClientCommand {
    /// Every frame type that the server accepts from a client.
    pub const KINDS: [&str; 7] = [
        "connect-chat",
        "send-message",
        "update-message",
        "delete-message",
        "leave-chat",
        "start-typing",
        "mark-read",
    ];
}

/// The content of `connect-chat`: subscribes the socket to a chat.
#[derive(Debug)]
pub struct Connect {
    /// The user who connects, if the frame names one.
    pub user: Option<UserId>,
    /// The chat to connect to.
    pub chat: ChatId,
    /// The display name that `join` and `leave` carry. Ignored in required mode.
    pub username: Option<Username>,
    /// A session token that proves the user. Needed in required mode if the upgrade request
    /// carried none.
    pub token: Option<String>,
    /// The seq of the last change that the client has seen, and optionally the epoch that the seq
    /// belongs to. `None` starts at the head of the chat, or where this socket has already got to.
    pub since: Option<Since>,
}

/// The content of `update-message`: edits a message.
#[derive(Debug)]
pub struct UpdateMessage {
    /// The message to edit. `None` means the user's latest message in the chat.
    pub message: Option<MessageId>,
    /// The chat of the message.
    pub chat: ChatId,
    /// The acting user, if the frame names one.
    pub user: Option<UserId>,
    /// The new text.
    pub content: Content,
}

/// The content of `delete-message`.
#[derive(Debug)]
pub struct DeleteMessage {
    /// The message to delete.
    pub message: MessageId,
}

#[derive(Deserialize)]
struct ClientEnvelope<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectContent {
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
    username: Option<String>,
    token: Option<String>,
    since: Option<Since>,
}

/// The JSON of `send-message`. Its texts are checked after the parsing, because their errors have codes of
/// their own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendContent {
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
    content: String,
    client_message_id: Option<String>,
    reply_to: Option<MessageId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateContent {
    message_id: Option<MessageId>,
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
    #[serde(alias = "customerd", default)]
    customer_id: Option<UserId>,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageContent {
    message_id: MessageId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatContent {
    #[serde(alias = "chat_id")]
    chat_id: ChatId,
}

impl Request {
    /// Parses a text frame. An error is part of the result, so that its answer can carry the
    /// frame's id.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let object = text.trim_ascii_start().starts_with('{');
        let envelope: ClientEnvelope<'_> = match serde_json::from_str(text) {
            Ok(_) if !object => {
                return Self {
                    id: None,
                    command: Err(not_a_frame()),
                };
            }
            Ok(envelope) => envelope,
            Err(e) if e.is_data() => {
                let error = "A frame must be an object {\"type\":…,\"content\":…,\"id\"?:…}, \
                             each key once";
                return Self {
                    id: None,
                    command: Err(Error::new(Code::InvalidField, error)),
                };
            }
            Err(e) => {
                let error = Error::new(Code::InvalidJson, format!("The frame is not JSON: {e}"));
                return Self {
                    id: None,
                    command: Err(error),
                };
            }
        };
        match request_id(envelope.id) {
            Ok(id) => Self {
                id,
                command: command(envelope.kind, envelope.content),
            },
            Err(error) => Self {
                id: None,
                command: Err(error),
            },
        }
    }
}

fn not_a_frame() -> Error {
    let shape = "A frame must be an object {\"type\":…,\"content\":…,\"id\"?:…}, each key once";
    Error::new(Code::InvalidField, shape)
}

fn request_id(raw: Option<&RawValue>) -> Result<Option<RequestId>, Error> {
    match raw.map(|raw| (raw, raw.get().as_bytes().first())) {
        None | Some((_, Some(b'n'))) => Ok(None),
        Some((raw, Some(b'"' | b'-' | b'0'..=b'9'))) => Ok(Some(raw.to_owned())),
        Some(_) => Err(Error::invalid_field("id", "a string or a number")),
    }
}

fn command(kind: Option<&RawValue>, content: Option<&RawValue>) -> Result<ClientCommand, Error> {
    let kinds = || format!("one of {}", ClientCommand::KINDS.join(", "));
    let kind: String = kind
        .and_then(|kind| serde_json::from_str(kind.get()).ok())
        .ok_or_else(|| Error::invalid_field("type", &kinds()))?;
    match kind.as_str() {
        "connect-chat" => connect(read(content)?).map(ClientCommand::Connect),
        "send-message" => send(read(content)?).map(ClientCommand::Send),
        "update-message" => update(read(content)?).map(ClientCommand::Update),
        "delete-message" => {
            let message = id_or(content, |c: MessageContent| c.message_id)?;
            Ok(ClientCommand::Delete(DeleteMessage { message }))
        }
        "leave-chat" => id_or(content, |c: ChatContent| c.chat_id).map(ClientCommand::Leave),
        "start-typing" => start_typing(content).map(ClientCommand::Typing),
        "mark-read" => mark_read(content).map(ClientCommand::Read),
        other => {
            let shown: String = other.chars().take(40).collect();
            let message = format!("There is no frame type {shown:?}; send {}", kinds());
            Err(Error::new(Code::UnknownType, message))
        }
    }
}

fn read<T: DeserializeOwned>(content: Option<&RawValue>) -> Result<T, Error> {
    let content = content.ok_or_else(|| Error::invalid_field("content", "given"))?;
    json::read_object(content.get().as_bytes(), "content")
}

/// Parses a content that is either a bare id or an object that holds the id.
fn id_or<I, T>(content: Option<&RawValue>, id: impl Fn(T) -> I) -> Result<I, Error>
where
    I: DeserializeOwned,
    T: DeserializeOwned,
{
    match content {
        Some(raw) if !raw.get().starts_with('{') => serde_json::from_str(raw.get())
            .map_err(|e| Error::new(Code::InvalidField, format!("content: {e}"))),
        content => read(content).map(id),
    }
}

fn connect(c: ConnectContent) -> Result<Connect, Error> {
    Ok(Connect {
        user: c.customer_id,
        chat: c.chat_id,
        username: c.username.map(Username::parse).transpose()?,
        token: c.token,
        since: c.since,
    })
}

fn send(c: SendContent) -> Result<NewMessage<Option<UserId>>, Error> {
    Ok(NewMessage {
        author: c.customer_id,
        chat: c.chat_id,
        content: Content::parse(c.content)?,
        client_message_id: c
            .client_message_id
            .map(ClientMessageId::parse)
            .transpose()?,
        reply_to: c.reply_to,
    })
}

fn update(c: UpdateContent) -> Result<UpdateMessage, Error> {
    Ok(UpdateMessage {
        message: c.message_id,
        chat: c.chat_id,
        user: c.customer_id,
        content: Content::parse(c.content)?,
    })
}

/// The content of `start-typing`.
#[derive(Debug)]
pub struct StartTyping {
    /// The chat in which the user types.
    pub chat: ChatId,
    /// The typing user, if the frame names one.
    pub user: Option<UserId>,
}

/// The content of `mark-read`: moves the user's read position forward.
#[derive(Debug)]
pub struct MarkRead {
    /// The chat of the messages.
    pub chat: ChatId,
    /// The last message that the user has read.
    pub message: MessageId,
    /// The reading user, if the frame names one.
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

fn start_typing(content: Option<&RawValue>) -> Result<StartTyping, Error> {
    self::read(content).map(|c: TypingContent| StartTyping {
        chat: c.chat_id,
        user: c.customer_id,
    })
}

fn mark_read(content: Option<&RawValue>) -> Result<MarkRead, Error> {
    self::read(content).map(|c: ReadContent| MarkRead {
        chat: c.chat_id,
        message: c.message_id,
        user: c.customer_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        Request::parse(text)
            .command
            .map_or_else(|e| e.code().as_str(), |_| "ok")
    }

    #[test]
    fn the_originals_frames_are_read_as_written() {
        let frame = r#"{ "type": "connect-chat",
            "content": { "customerd": 1, "chatId": 1, "username": "name" } }"#;
        let Ok(ClientCommand::Connect(connect)) = Request::parse(frame).command else {
            panic!("not a connect-chat")
        };
        assert_eq!((connect.user, connect.chat), (Some(UserId(1)), ChatId(1)));
        let frame = r#"{ "type": "delete-message", "content": 10 }"#;
        let Ok(ClientCommand::Delete(delete)) = Request::parse(frame).command else {
            panic!("not a delete-message")
        };
        assert_eq!(delete.message, MessageId(10));
    }

    #[test]
    fn a_message_is_read_with_its_claimed_author() {
        let message = |fields: &str| {
            let content = format!(r#"{{"chatId":3,"content":"Hi"{fields}}}"#);
            let frame = format!(r#"{{"type":"send-message","content":{content}}}"#);
            match Request::parse(&frame).command {
                Ok(ClientCommand::Send(message)) => message,
                other => panic!("not a message: {other:?}"),
            }
        };
        let plain = message("");
        assert_eq!((plain.chat, plain.content.as_str()), (ChatId(3), "Hi"));
        assert_eq!((plain.author, plain.reply_to), (None, None));
        assert!(plain.client_message_id.is_none());
        let full = message(r#","customerId":4,"clientMessageId":"k","replyTo":5"#);
        assert_eq!(
            (full.author, full.reply_to),
            (Some(UserId(4)), Some(MessageId(5)))
        );
        let key = full.client_message_id;
        assert_eq!(key.as_ref().map(ClientMessageId::as_str), Some("k"));
    }

    #[test]
    fn an_id_is_given_back_as_it_came() {
        for id in ["7", "-7.5e3", "\"a\\u0062\"", "\"\""] {
            let request = Request::parse(&format!(r#"{{"type":"x","id":{id}}}"#));
            assert_eq!(
                request.id.map(|id| id.get().to_owned()).as_deref(),
                Some(id)
            );
        }
        assert!(Request::parse(r#"{"type":"x","id":null}"#).id.is_none());
        assert_eq!(
            code(r#"{"type":"leave-chat","content":1,"id":[1]}"#),
            "invalid_field"
        );
    }

    #[test]
    fn each_error_has_its_code() {
        assert_eq!(code("hello"), "invalid_json");
        assert_eq!(code(""), "invalid_json");
        assert_eq!(code("{\"type\":"), "invalid_json");
        assert_eq!(code("[]"), "invalid_field");
        assert_eq!(code("7"), "invalid_field");
        assert_eq!(code("{}"), "invalid_field");
        assert_eq!(code(r#"{"type":7}"#), "invalid_field");
        assert_eq!(code(r#"{"type":"dance"}"#), "unknown_type");
        assert_eq!(code(r#"{"type":"send-message"}"#), "invalid_field");
        assert_eq!(
            code(r#"{"type":"delete-message","content":"10"}"#),
            "invalid_field"
        );
        assert_eq!(
            code(r#"{"type":"delete-message","content":{"messageId":10}}"#),
            "ok"
        );
        let long = "x".repeat(16_385);
        let frame =
            format!(r#"{{"type":"send-message","content":{{"chatId":1,"content":"{long}"}}}}"#);
        assert_eq!(code(&frame), "too_large");
    }

    #[test]
    fn an_error_names_the_field() {
        let frame = r#"{"type":"send-message","content":{"chatId":"1","content":"x"}}"#;
        let error = Request::parse(frame)
            .command
            .map(drop)
            .map_err(|e| e.to_string());
        assert!(
            error.is_err_and(
                |e| e.starts_with("content, chatId: ") && e.contains("positive integer")
            )
        );
    }
}
