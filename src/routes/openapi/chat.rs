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
            .about("Where callers sign in, their own.")
            .page("chat")
            .lists::<Chat>(
                "Chats, by id",
                json!([chat(1, "general"), chat(2, "random")]),
            ),
        post("/chat", "createChat", "Create a chat")
            .about(
                "Whoever creates it, if known, is its admin. `forbidden` where they have made as many as \
                 `MAX_CHATS_PER_USER` says.",
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
            .gives::<Chat>("The chat as it is now", chat(2, "noise"))
            .refuses(&[Code::ChatNotFound, Code::Forbidden]),
        delete("/chat/{id}", "deleteChat", "Delete a chat")
            .about(
                "With its memberships and messages; it is closed for everyone in it. Admins only.",
            )
            .id::<ChatId>("id", 2)
            .gives_nothing("The chat is deleted")
            .refuses(&[Code::ChatNotFound, Code::Forbidden]),
    ]
}

pub(super) fn of_members() -> Vec<Operation> {
    vec![
        get("/chat/user/{user_id}", "addMember", "Add a member")
            .about("The original's route: a GET with an effect. `PUT` on the path below does the same.")
            .id::<UserId>("user_id", 3)
            .required_query::<ChatId>("chat_id", CHAT, 1)
            .seats(member(3, "participant"))
            .refuses(&MISSING),
        delete("/chat/user/{user_id}", "removeMember", "Remove a member")
            .about(REMOVE)
            .id::<UserId>("user_id", 2)
            .required_query::<ChatId>("chat_id", CHAT, 1)
            .gives_nothing("The user is no member any more")
            .refuses(&MISSING)
            .refuses(&[Code::MemberNotFound]),
        put("/chat/{chat_id}/user/{user_id}", "putMember", "Add a member, or change a role")
            .about(
                "Without a role, or without a body, who is no member becomes a participant and who is \
                 one stays what they are.",
            )
            .id::<ChatId>("chat_id", 1)
            .id::<UserId>("user_id", 3)
            .may_take::<MemberBody>(json!({ "role": "admin" }))
            .seats(member(3, "admin"))
            .refuses(&MISSING),
        delete("/chat/{chat_id}/user/{user_id}", "removeMemberByPath", "Remove a member")
            .about(REMOVE)
            .id::<ChatId>("chat_id", 1)
            .id::<UserId>("user_id", 2)
            .gives_nothing("The user is no member any more")
            .refuses(&MISSING)
            .refuses(&[Code::MemberNotFound]),
        get(
            "/chat/user/{user_id}/chat/{chat_id}/access",
            "hasAccess",
            "Ask whether a user may use a chat",
        )
        .about("False for a user or a chat that does not exist.")
        .id::<UserId>("user_id", 1)
        .id::<ChatId>("chat_id", 1)
        .gives::<Access>("Whether", json!({ "hasAccess": true })),
    ]
}

const CHAT: &str = "The chat. `chatId` is taken as well.";
const REMOVE: &str =
    "From that instant they get nothing of the chat. Admins remove anyone; anyone may leave.";
const MISSING: [Code; 3] = [Code::UserNotFound, Code::ChatNotFound, Code::Forbidden];

impl Operation {
    /// Adds 201 with a new member, and 200 with an existing one.
    fn seats(mut self, example: Value) -> Self {
        let content = json_content(self.refer::<Member>(), example);
        let response = success("The new member");
        self.answers(StatusCode::CREATED, response.content(JSON, content))
            .gives::<Member>("A member already", member(2, "participant"))
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
