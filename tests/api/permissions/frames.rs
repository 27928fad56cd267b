//! One frame, sent in one role.

use super::actors::{Actors, Role, Scene};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::Socket;

/// Sends it, and gives the answer as a cell of the table would.
pub async fn play(actors: &Actors, scene: &Scene, role: Role, kind: &str) -> String {
    let mut socket = actors.server.socket().await;
    let who = actors.person(role);
    if let Some(who) = who.filter(|_| kind != "connect-chat") {
        let chat = match role {
            Role::Stranger => who.chat("a chat of their own").await,
            _ => scene.chat,
        };
        socket.ask("connect-chat", who.connect(chat)).await;
    }
    let content = match (kind, who) {
        ("connect-chat", Some(who)) => who.connect(scene.chat),
        ("connect-chat", None) => json!({ "chatId": scene.chat, "customerId": actors.own.id }),
        ("send-message", _) => json!({ "chatId": scene.chat, "content": "Hello." }),
        ("update-message", _) => {
            json!({ "chatId": scene.chat, "messageId": scene.message, "content": "Changed." })
        }
        ("delete-message", _) => json!(scene.message),
        ("start-typing", _) => json!({ "chatId": scene.chat }),
        ("mark-read", _) => json!({ "chatId": scene.chat, "messageId": scene.message }),
        ("leave-chat", _) => json!(scene.chat),
        (other, _) => panic!("say here what the content of {other} is"),
    };
    answer(&mut socket, kind, content).await
}

async fn answer(socket: &mut Socket, kind: &str, content: Value) -> String {
    socket
        .send(json!({ "type": kind, "id": "asked", "content": content }))
        .await;
    let frames = socket.frames_until(|frame| frame["id"] == "asked").await;
    let answer = frames.last().expect("an answer");
    let code = answer["content"]["code"].as_str();
    match answer["type"].as_str() {
        Some("ack") => "ack".to_owned(),
        _ => code.expect("a code").to_owned(),
    }
}

/// Every type of frame, as the server names them to who sends another.
pub async fn kinds(actors: &Actors) -> BTreeSet<String> {
    let mut socket = actors.server.socket().await;
    socket.send(json!({ "type": "no such" })).await;
    let error = socket.expect_error("unknown_type").await;
    let text = error["content"]["error"].as_str().expect("a sentence");
    let (_, list) = text.split_once("; send ").expect("a list of the types");
    list.trim_start_matches("one of ")
        .replace(" or ", ", ")
        .split(", ")
        .map(str::to_owned)
        .collect()
}
