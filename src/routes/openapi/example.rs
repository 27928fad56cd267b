//! Examples in the OpenAPI document: what the demo data answers.

use serde_json::{Value, json};

/// The epoch of the log.
pub(crate) const EPOCH: &str = "5f0c4f1e9a2b4d6c8e7f1a2b3c4d5e6f";

pub(crate) fn user(id: i64, name: &str) -> Value {
    json!({ "customerId": id, "username": name, "createdAt": "2026-11-23T06:22:27.029Z" })
}

pub(crate) fn carl() -> Value {
    user(1, "carl")
}

pub(crate) fn users() -> Value {
    json!([carl(), user(2, "sigmund"), user(3, "gustav")])
}

/// The user that signs up and logs in.
pub(crate) fn dora() -> Value {
    json!({ "customerId": 4, "username": "dora", "createdAt": "2026-11-23T06:22:29.587Z" })
}

pub(crate) fn credentials() -> Value {
    json!({ "username": "dora", "password": "correct horse" })
}

pub(crate) fn logged_in() -> Value {
    json!({
        "token": "3f9a1c0e7b52d4886e1fa0b9c3d75e24810f6ab2d9c4e7135b08fd62a7e91c40",
        "expiresAt": "2026-12-23T06:22:31.204Z",
        "user": dora()
    })
}

pub(crate) fn session() -> Value {
    json!({
        "sessionId": 1,
        "createdAt": "2026-11-23T06:22:31.204Z",
        "lastUsedAt": "2026-11-23T06:22:31.204Z",
        "expiresAt": "2026-12-23T06:22:31.204Z",
        "userAgent": "curl/8.5.0",
        "current": true
    })
}

pub(crate) fn chat(id: i64, name: &str) -> Value {
    json!({ "chatId": id, "chatName": name, "createdAt": "2026-11-23T06:22:27.029Z" })
}

pub(crate) fn member(user: i64, role: &str) -> Value {
    json!({
        "customerId": user,
        "chatId": 1,
        "role": role,
        "joinedAt": "2026-11-23T06:22:29.604Z"
    })
}

/// A member with the user's name, as a chat lists its members.
pub(crate) fn chat_member() -> Value {
    let mut member = user(3, "gustav");
    member["role"] = "participant".into();
    member["joinedAt"] = "2026-11-23T06:22:27.029Z".into();
    member
}

/// A chat with its last message, as a user lists the own chats.
pub(crate) fn user_chat() -> Value {
    let mut last = message_of_gustav(8, "The third page is missing, as always.", 3);
    last["sentAt"] = "2026-11-23T06:22:27.029Z".into();
    let mut chat = chat(2, "random");
    chat["role"] = "participant".into();
    chat["lastMessage"] = last;
    chat["unread"] = 0.into();
    chat["lastReadMessageId"] = 8.into();
    chat
}

pub(crate) fn message(id: i64, content: &str, seq: i64) -> Value {
    json!({
        "messageId": id,
        "chatId": 1,
        "customerId": 1,
        "username": "carl",
        "content": content,
        "seq": seq,
        "sentAt": "2026-11-23T06:22:29.659Z",
        "editedAt": null,
        "deletedAt": null,
        "replyTo": null,
        "clientMessageId": null
    })
}

pub(crate) fn see_you_there() -> Value {
    message(10, "See you there.", 7)
}

pub(crate) fn edited() -> Value {
    let mut message = message(10, "See you at nine.", 8);
    message["editedAt"] = "2026-11-23T06:25:01.120Z".into();
    message
}

/// A page of messages: those of user gustav in the chat random.
pub(crate) fn messages() -> Value {
    json!([
        message_of_gustav(4, "Is anybody in here?", 1),
        message_of_gustav(6, "I will leave the sheet music on the piano.", 2),
        message_of_gustav(8, "The third page is missing, as always.", 3),
    ])
}

/// A page of changes: those of the chat random, in which only the messages have changed.
pub(crate) fn changes() -> Value {
    let frame = |message: &Value| {
        json!({
            "type": "send-message",
            "content": message,
            "chatId": message["chatId"],
            "customerId": message["customerId"],
            "seq": message["seq"],
        })
    };
    messages()
        .as_array()
        .into_iter()
        .flatten()
        .map(frame)
        .collect()
}

fn message_of_gustav(id: i64, content: &str, seq: i64) -> Value {
    let mut message = message(id, content, seq);
    message["chatId"] = 2.into();
    message["customerId"] = 3.into();
    message["username"] = "gustav".into();
    message
}
