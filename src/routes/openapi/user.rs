//! `/user` in the OpenAPI document.

use super::operation::{Operation, delete, get, post, put};
use crate::{
    error::Code,
    model::{ChatId, ChatMember, User, UserChat, UserId},
    routes::user::{ChangeBody, NewUser},
};
use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, Schema, Type};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/user", "listUsers", "List users")
            .page("user")
            .lists::<User>("Users, ordered by id", json!([carl(), sigmund(), gustav()])),
        post("/user", "createUser", "Sign up")
            .for_everyone()
            .takes::<NewUser>(json!({ "username": "dora", "password": "correct horse" }))
            .creates::<User>("The new user", user(4, "dora"))
            .refuses(&[Code::UsernameTaken]),
        get("/user/{id}", "findUser", "Find a user")
            .id::<UserId>("id", 1)
            .gives::<User>("The user", carl())
            .refuses(&[Code::UserNotFound]),
        put("/user/{id}", "updateUser", "Change a user")
            .about("Omitted fields stay unchanged. Users may change their own account only.")
            .id::<UserId>("id", 1)
            .takes::<ChangeBody>(json!({ "username": "carla" }))
            .gives::<User>("The changed user", user(1, "carla"))
            .refuses(&[Code::UserNotFound, Code::UsernameTaken, Code::Forbidden]),
        delete("/user/{id}", "deleteUser", "Delete a user")
            .about(
                "Deletes the memberships and sessions of the user. The user's messages stay as \
                 tombstones without an author. Each tombstone has a new `seq` and is published to \
                 all sockets of its chat. Users may delete their own account only.",
            )
            .id::<UserId>("id", 3)
            .gives_nothing("The user is deleted")
            .refuses(&[Code::UserNotFound, Code::Forbidden]),
        get(
            "/user/username/{username}",
            "findUserByName",
            "Find a user by name",
        )
        .text("username", "The exact name", name(), "carl")
        .gives::<User>("The user", carl())
        .refuses(&[Code::InvalidField, Code::UserNotFound]),
        get(
            "/user/chat/{chat_id}",
            "listChatMembers",
            "List a chat's members",
        )
        .id::<ChatId>("chat_id", 2)
        .page("user")
        .lists::<ChatMember>(
            "Members with their roles, ordered by user id",
            json!([member()]),
        )
        .refuses(&[Code::ChatNotFound]),
        get("/user/{id}/chat", "listUserChats", "List a user's chats")
            .about(
                "Users may list their own chats only. The pages that `Link` connects contain each \
                 chat once, even if chats become active or are deleted between two requests.",
            )
            .id::<UserId>("id", 3)
            .page_by_cursor("chat")
            .lists::<UserChat>(
                "Chats, ordered by their latest activity, newest first",
                json!([random()]),
            )
            .refuses(&[Code::UserNotFound, Code::Forbidden]),
    ]
}

/// Returns the schema of any text without U+0000. A name that no user can have is answered as not
/// found.
fn name() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.min_length(Some(1))
        .pattern(Some("^[^\\u0000]+$"))
        .build()
        .into()
}

fn user(id: i64, name: &str) -> Value {
    json!({ "customerId": id, "username": name, "createdAt": "2026-11-23T06:22:27.029Z" })
}

fn carl() -> Value {
    user(1, "carl")
}

fn sigmund() -> Value {
    user(2, "sigmund")
}

fn gustav() -> Value {
    user(3, "gustav")
}

fn member() -> Value {
    let mut member = gustav();
    member["role"] = "participant".into();
    member["joinedAt"] = "2026-11-23T06:22:27.029Z".into();
    member
}

fn random() -> Value {
    json!({
        "chatId": 2,
        "chatName": "random",
        "createdAt": "2026-11-23T06:22:27.029Z",
        "role": "participant",
        "lastMessage": {
            "messageId": 8,
            "chatId": 2,
            "customerId": 3,
            "username": "gustav",
            "content": "The third page is missing, as always.",
            "seq": 3,
            "sentAt": "2026-11-23T06:22:27.029Z",
            "editedAt": null,
            "deletedAt": null,
            "replyTo": null,
            "clientMessageId": null
        },
        "unread": 0,
        "lastReadMessageId": 8
    })
}
