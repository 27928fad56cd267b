//! One route, called in one role.

use super::actors::{Actors, Role, Scene};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{PASSWORD, Person, Socket, operations};
use uuid::Uuid;

/// Asks, and gives the answer as a cell of the table would.
pub async fn play(actors: &Actors, scene: &Scene, role: Role, route: &str, cell: &str) -> String {
    let (method, template) = route.split_once(' ').expect("a method and a path");
    let who = actors.person(role);
    if template == "/ws" {
        return upgrade(actors, who).await;
    }
    let path = fill(actors, scene, role, method, template);
    let client = actors.server.client();
    let client = who.map_or(client, |who| who.client.clone());
    let method: Method = method.parse().expect("a method");
    let request = client.request(method.clone(), &path);
    let request = match method {
        Method::POST | Method::PUT => request.json(&body(actors, who, scene, template)),
        _ => request,
    };
    let reply = client.send(request).await;
    check_error(reply.status, &reply.body, scene);
    let text = reply.body.to_string();
    let seen = match cell.split_once(' ').map(|(_, word)| word) {
        Some("shown" | "hidden") if text.contains(&scene.secret) => " shown",
        Some("shown" | "hidden") => " hidden",
        Some(_) if reply.body["hasAccess"] == true => " true",
        Some(_) => " false",
        None => "",
    };
    format!("{}{seen}", reply.status)
}

/// An error has the code that goes with it, and tells nothing of what it hides.
fn check_error(status: u16, body: &Value, scene: &Scene) {
    let code = body["code"].as_str().unwrap_or_default();
    let right = match status {
        401 => code == "unauthorized",
        403 => code == "forbidden",
        404 => code.ends_with("not_found"),
        _ => status < 400,
    };
    assert!(right, "{status}: {body}");
    let silent = status < 400 || !body.to_string().contains(&scene.secret);
    assert!(silent, "an error tells what it hides: {body}");
}

async fn upgrade(actors: &Actors, who: Option<&Person>) -> String {
    let proof = who.map(|who| format!("Bearer {}", who.token));
    let headers: Vec<(&'static str, &str)> = proof
        .as_deref()
        .map(|proof| ("authorization", proof))
        .into_iter()
        .collect();
    match Socket::open_with(actors.server.address, &headers).await {
        Ok(_) => "101".to_owned(),
        Err(status) => status.to_string(),
    }
}

/// The path with the ids of the scene. The user that a request adds is a new one, or the caller.
fn fill(actors: &Actors, scene: &Scene, role: Role, method: &str, template: &str) -> String {
    let adding = method == "GET" && template.starts_with("/chat/user/{user_id}?");
    let user = match adding && role != Role::Own {
        true => scene.newcomer,
        false => actors.own.id,
    };
    let id = match template.split('/').nth(1) {
        Some("chat") => scene.chat,
        Some("session") => scene.session,
        _ => user,
    };
    template
        .replace("{id}", &id.to_string())
        .replace("{user_id}", &user.to_string())
        .replace("{chat_id}", &scene.chat.to_string())
        .replace("{message_id}", &scene.message.to_string())
        .replace("{username}", &actors.own.name)
        .replace("{file}", "page.js")
        .replace("chat_id=", &format!("chat_id={}", scene.chat))
}

fn body(actors: &Actors, who: Option<&Person>, scene: &Scene, template: &str) -> Value {
    let new = || Uuid::new_v4().to_string();
    match template {
        "/user" => json!({ "username": new(), "password": PASSWORD }),
        "/login" => {
            let name = &who.unwrap_or(&actors.own).name;
            json!({ "username": name, "password": PASSWORD })
        }
        "/user/{id}" => json!({ "password": PASSWORD }),
        "/chat" | "/chat/{id}" => json!({ "chatName": new() }),
        "/chat/{chat_id}/user/{user_id}" => json!({ "role": "admin" }),
        "/chat/{chat_id}/message" | "/message/{message_id}" => json!({ "content": new() }),
        "/chat/{chat_id}/read" => json!({ "messageId": scene.message }),
        _ => json!({}),
    }
}

/// Every method of every route. The server registers a route and its declaration in the document at once.
pub fn of_the_document() -> BTreeSet<String> {
    let all = operations().into_iter();
    let found: BTreeSet<String> = all
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert!(found.len() > 30, "{found:?}");
    found
}
