//! `/chat/{chat_id}/message` and `/message` in the OpenAPI document.

use super::operation::{Operation, delete, get, post, put};
use crate::{
    error::Code,
    model::{ChatId, Message, MessageId, Seq, UserId},
    routes::message::{Edit, ReadBody, ReadReply, SendBody},
};
use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, Schema, Type};

pub(super) fn operations() -> Vec<Operation> {
    let mut list = get(
        "/chat/{chat_id}/message",
        "listMessages",
        "List a chat's messages",
    )
    .about(
        "Lists the newest messages, ordered from old to new; `before` selects older pages. `q` \
             selects the messages that contain a text. `since` selects all messages with a later \
             change, ordered by `seq`, each in its present state; it cannot be combined with \
             `before` or `q`. With `since`, the header `Log-Epoch` names the epoch of the log, \
             which changes after an import or a restore from a backup. A page ends before it \
             exceeds 1 MiB of text, so a short page may have a `Link` to a next page.",
    )
    .id::<ChatId>("chat_id", 2)
    .limit();
    let (before, since) = (list.refer::<MessageId>(), list.refer::<Seq>());
    vec![
        list.query("before", "Only messages with a smaller id", before, 11)
            .query(
                "since",
                "Only messages with a change after this `seq`",
                since,
                7,
            )
            .query(
                "epoch",
                "With `since`: the epoch of that `seq`. `invalid_field` if the log has \
                             another epoch",
                epoch(),
                EPOCH,
            )
            .query(
                "q",
                "The text to search for, at most 16 KiB. Case and accents are ignored. A \
                         page searches at most 20,000 messages or 8 MiB of text, so a short or \
                         empty page may have a `Link`",
                looked_for(),
                "there",
            )
            .lists_changes::<Message>("Messages", page())
            .refuses(&[Code::ChatNotFound]),
        post("/chat/{chat_id}/message", "sendMessage", "Send a message")
            .about(
                "Publishes the message to all sockets of the chat, like a message sent over the \
                 WebSocket. `clientMessageId` is an idempotency key: a repeated send with the same \
                 key, user and chat stores no second message, at any later time.",
            )
            .id::<ChatId>("chat_id", 1)
            .takes::<SendBody>(json!({ "customerId": 1, "content": "Hi world." }))
            .creates::<Message>("The message", message(11, "Hi world.", 8))
            .gives::<Message>(
                "The message that an earlier request with this `clientMessageId` stored",
                message(10, "See you there.", 7),
            )
            .refuses(&[Code::UserNotFound, Code::ChatNotFound, Code::Forbidden]),
        put("/chat/{chat_id}/read", "markRead", "Mark messages as read")
            .about(
                "Moves the read position forward, never back. All sockets of the chat receive the \
                 new position.",
            )
            .id::<ChatId>("chat_id", 1)
            .takes::<ReadBody>(json!({ "customerId": 2, "messageId": 10 }))
            .gives::<ReadReply>("The read position", json!({ "chatId": 1, "messageId": 10 }))
            .refuses(&CHANGE)
            .refuses(&[Code::MemberNotFound]),
        get("/message/{message_id}", "findMessage", "Find a message")
            .about("Finds a deleted message too; its `content` is null.")
            .id::<MessageId>("message_id", 10)
            .gives::<Message>("The message", message(10, "See you there.", 7))
            .refuses(&[Code::MessageNotFound]),
        put("/message/{message_id}", "editMessage", "Edit a message")
            .about("Only the author may edit the message.")
            .id::<MessageId>("message_id", 10)
            .takes::<Edit>(json!({ "customerId": 1, "content": "See you at nine." }))
            .gives::<Message>("The edited message", edited())
            .refuses(&CHANGE),
        delete("/message/{message_id}", "deleteMessage", "Delete a message")
            .about("Only the author or an admin of the chat may delete the message.")
            .id::<MessageId>("message_id", 10)
            .who_acts()
            .gives_nothing("The message is deleted")
            .refuses(&CHANGE),
    ]
}

const CHANGE: [Code; 4] = [
    Code::MessageNotFound,
    Code::ChatNotFound,
    Code::UserNotFound,
    Code::Forbidden,
];

impl Operation {
    fn who_acts(mut self) -> Self {
        let user = self.refer::<UserId>();
        self.query(
            "customerId",
            "The acting user, in open mode. If omitted, the author of the message",
            user,
            1,
        )
    }
}

/// The epoch in the examples.
const EPOCH: &str = "5f0c4f1e9a2b4d6c8e7f1a2b3c4d5e6f";

fn epoch() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .build()
        .into()
}

fn looked_for() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.min_length(Some(1))
        .max_length(Some(16 * 1024))
        .pattern(Some("^[^\\u0000]+$"))
        .build()
        .into()
}

fn message(id: i64, content: &str, seq: i64) -> Value {
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

fn edited() -> Value {
    let mut message = message(10, "See you at nine.", 8);
    message["editedAt"] = "2026-11-23T06:25:01.120Z".into();
    message
}

/// An example page: the messages of user gustav in the chat random.
fn page() -> Value {
    let said = |id: i64, content: &str, seq: i64| {
        let mut message = message(id, content, seq);
        message["chatId"] = 2.into();
        message["customerId"] = 3.into();
        message["username"] = "gustav".into();
        message
    };
    json!([
        said(4, "Is anybody in here?", 1),
        said(6, "I will leave the sheet music on the piano.", 2),
        said(8, "The third page is missing, as always.", 3),
    ])
}
