//! `/chat` in the OpenAPI document.

use super::operation::{JSON, Operation, delete, get, json_content, post, put, success};
use crate::{
    error::Code,
    model::{Access, Chat, ChatId, Member, UserId},
    routes::chat::{ChatBody, MemberBody},
};
use axum::http::StatusCode;
use serde_json::{Value, json};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/chat", "listChats", "List chats")
            .about("In required mode, only the chats of the current user.")
            .page("chat")
            .lists::<Chat>(
                "Chats, ordered by id",
                json!([chat(1, "general"), chat(2, "random")]),
            ),
        post("/chat", "createChat", "Create a chat")
            .about(
                "The creator, if known, becomes an admin of the chat. `forbidden` if the creator \
                 has reached `MAX_CHATS_PER_USER` chats.",
            )
            .takes::<ChatBody>(json!({ "chatName": "music" }))
            .creates::<Chat>("The new chat", chat(3, "music"))
            .refuses(&[Code::Forbidden]),
        get("/chat/{id}", "findChat", "Find a chat")
            .id::<ChatId>("id", 1)
            .gives::<Chat>("The chat", chat(1, "general"))
            .refuses(&[Code::ChatNotFound]),
        put("/chat/{id}", "renameChat", "Rename a chat")
            .about("Admins only.")
            .id::<ChatId>("id", 2)
            .takes::<ChatBody>(json!({ "chatName": "noise" }))
            .gives::<Chat>("The renamed chat", chat(2, "noise"))
            .refuses(&[Code::ChatNotFound, Code::Forbidden]),
        delete("/chat/{id}", "deleteChat", "Delete a chat")
            .about(
                "Deletes the memberships and messages of the chat too, and disconnects all sockets \
                 from the chat. Admins only.",
            )
            .id::<ChatId>("id", 2)
            .gives_nothing("The chat is deleted")
            .refuses(&[Code::ChatNotFound, Code::Forbidden]),
    ]
}

pub(super) fn of_members() -> Vec<Operation> {
    vec![
        get("/chat/user/{user_id}", "addMember", "Add a member")
            .about(
                "A route of the original API: a GET that changes data. `PUT \
                 /chat/{chat_id}/user/{user_id}` has the same effect.",
            )
            .id::<UserId>("user_id", 3)
            .required_query::<ChatId>("chat_id", CHAT, 1)
            .seats(member(3, "participant"))
            .refuses(&MISSING),
        delete("/chat/user/{user_id}", "removeMember", "Remove a member")
            .about(REMOVE)
            .id::<UserId>("user_id", 2)
            .required_query::<ChatId>("chat_id", CHAT, 1)
            .gives_nothing("The user is no longer a member")
            .refuses(&MISSING)
            .refuses(&[Code::MemberNotFound]),
        put(
            "/chat/{chat_id}/user/{user_id}",
            "putMember",
            "Add a member, or change a role",
        )
        .about(
            "Without a `role` or without a body, a new member becomes a participant, and an \
                 existing member keeps the role.",
        )
        .id::<ChatId>("chat_id", 1)
        .id::<UserId>("user_id", 3)
        .may_take::<MemberBody>(json!({ "role": "admin" }))
        .seats(member(3, "admin"))
        .refuses(&MISSING),
        delete(
            "/chat/{chat_id}/user/{user_id}",
            "removeMemberByPath",
            "Remove a member",
        )
        .about(REMOVE)
        .id::<ChatId>("chat_id", 1)
        .id::<UserId>("user_id", 2)
        .gives_nothing("The user is no longer a member")
        .refuses(&MISSING)
        .refuses(&[Code::MemberNotFound]),
        get(
            "/chat/user/{user_id}/chat/{chat_id}/access",
            "hasAccess",
            "Check the access of a user to a chat",
        )
        .about("`hasAccess` is false if the user or the chat does not exist.")
        .id::<UserId>("user_id", 1)
        .id::<ChatId>("chat_id", 1)
        .gives::<Access>("The access of the user", json!({ "hasAccess": true })),
    ]
}

const CHAT: &str = "The id of the chat. The name `chatId` is accepted too.";
const REMOVE: &str = "The user receives no further events of the chat. Admins may remove any member, and every \
     member may leave.";
const MISSING: [Code; 3] = [Code::UserNotFound, Code::ChatNotFound, Code::Forbidden];

impl Operation {
    /// Adds 201 with a new member, and 200 with an existing one.
    fn seats(mut self, example: Value) -> Self {
        let content = json_content(self.refer::<Member>(), example);
        let response = success("The new member");
        self.answers(StatusCode::CREATED, response.content(JSON, content))
            .gives::<Member>("The existing member", member(2, "participant"))
    }
}

fn chat(id: i64, name: &str) -> Value {
    json!({ "chatId": id, "chatName": name, "createdAt": "2026-11-23T06:22:27.029Z" })
}

fn member(user: i64, role: &str) -> Value {
    json!({
        "customerId": user,
        "chatId": 1,
        "role": role,
        "joinedAt": "2026-11-23T06:22:29.604Z"
    })
}
