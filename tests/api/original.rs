//! The original's document, as a client of the original knows it: each of its frames word for
//! word and each of its routes, on the real binary as it starts in an empty folder.

use crate::harness::{Process, Socket};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONNECT: &str = r#"{
  "type": "connect-chat",
  "content": {
    "customerd": 1,
    "chatId": 1,
    "username": "name"
  }
}"#;

const SEND: &str = r#"{
  "type": "send-message",
  "content": {
    "chatId": 1,
    "customerId": 1,
    "content": "Hi world."
  }
}"#;

const UPDATE: &str = r#"{
  "type": "update-message",
  "content": {
    "chatId": 1,
    "customerId": 1,
    "content": "Hello world!"
  }
}"#;

const DELETE: &str = r#"{
  "type": "delete-message",
  "content": 10
}"#;

/// The binary in a folder of its own, with nothing set.
async fn start() -> (Process, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Process::start(folder.path(), &[]).await, folder)
}

/// The same with a socket that has sent the first frame and got its answer.
async fn connected() -> (Process, TempDir, Socket) {
    let (server, folder) = start().await;
    let mut socket = server.socket().await;
    socket.send_text(CONNECT).await;
    socket.expect("join").await;
    (server, folder, socket)
}

/// The frame that answers a text on a socket; nothing may stand before it.
async fn answer(socket: &mut Socket, text: &str) -> Value {
    socket.send_text(text).await;
    socket.next().await
}

#[tokio::test]
async fn the_frames_work_in_the_documents_order() {
    let (server, _folder) = start().await;
    let mut socket = server.socket().await;
    let joined = answer(&mut socket, CONNECT).await;
    let expected = json!({ "type": "join", "content": "name", "chatId": 1, "customerId": 1 });
    assert_eq!(joined, expected);

    let sent = answer(&mut socket, SEND).await;
    assert_eq!(sent["type"], "send-message");
    let message = &sent["content"];
    assert_eq!(message["messageId"], 11);
    assert_eq!(
        (&message["chatId"], &message["customerId"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&message["content"], &message["username"]),
        (&json!("Hi world."), &json!("carl"))
    );

    let updated = answer(&mut socket, UPDATE).await;
    assert_eq!(updated["type"], "update-message");
    assert_eq!(updated["content"]["messageId"], 11);
    assert_eq!(updated["content"]["content"], "Hello world!");

    let deleted = answer(&mut socket, DELETE).await;
    assert_eq!(
        (&deleted["type"], &deleted["content"]),
        (&json!("delete-message"), &json!(10))
    );
    assert_eq!(
        (&deleted["chatId"], &deleted["customerId"]),
        (&json!(1), &json!(1))
    );
    let (edited, deleted) = (
        server.client().get("/message/11").await.expect(200),
        server.client().get("/message/10").await.expect(200),
    );
    assert_eq!(edited["content"], "Hello world!");
    assert_eq!(deleted["content"], Value::Null);
}

#[tokio::test]
async fn connect_chat_works_alone() {
    let (server, _folder) = start().await;
    let mut socket = server.socket().await;
    let joined = answer(&mut socket, CONNECT).await;
    let expected = json!({ "type": "join", "content": "name", "chatId": 1, "customerId": 1 });
    assert_eq!(joined, expected);
}

#[tokio::test]
async fn send_message_works_alone() {
    let (server, _folder, mut socket) = connected().await;
    let sent = answer(&mut socket, SEND).await;
    assert_eq!(sent["type"], "send-message");
    let stored = server.client().get("/message/11").await.expect(200);
    assert_eq!(sent["content"], stored);
    assert_eq!(stored["content"], "Hi world.");
}

#[tokio::test]
async fn update_message_works_alone() {
    let (server, _folder, mut socket) = connected().await;
    let updated = answer(&mut socket, UPDATE).await;
    assert_eq!(updated["type"], "update-message");
    let stored = server.client().get("/message/10").await.expect(200);
    assert_eq!(updated["content"], stored, "carl's latest is the tenth");
    assert_eq!(stored["content"], "Hello world!");
}

#[tokio::test]
async fn delete_message_works_alone() {
    let (server, _folder, mut socket) = connected().await;
    let deleted = answer(&mut socket, DELETE).await;
    assert_eq!(
        (&deleted["type"], &deleted["content"]),
        (&json!("delete-message"), &json!(10))
    );
    let stored = server.client().get("/message/10").await.expect(200);
    assert_eq!(stored["content"], Value::Null);
}

#[tokio::test]
async fn everyone_in_the_chat_gets_each_frame() {
    let (server, _folder, mut carl) = connected().await;
    let mut sigmund = server.socket().await;
    let content = json!({ "customerId": 2, "chatId": 1, "username": "sigmund" });
    sigmund
        .send(json!({ "type": "connect-chat", "content": content }))
        .await;
    assert_eq!(carl.expect("join").await, sigmund.expect("join").await);
    for (text, kind) in [
        (SEND, "send-message"),
        (UPDATE, "update-message"),
        (DELETE, "delete-message"),
    ] {
        carl.send_text(text).await;
        assert_eq!(carl.expect(kind).await, sigmund.expect(kind).await);
    }
    carl.close().await;
    let left = sigmund.expect("leave").await;
    let expected = json!({ "type": "leave", "content": "name", "chatId": 1, "customerId": 1 });
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_frame_without_id_gets_no_ack() {
    let (_server, _folder, mut socket) = connected().await;
    for text in [SEND, UPDATE, DELETE] {
        socket.send_text(text).await;
    }
    let content = json!({ "chatId": 1, "content": "that was all" });
    socket
        .send(json!({ "type": "send-message", "id": 4, "content": content }))
        .await;
    let mut frames = socket.frames_until(|frame| frame["id"] == 4).await;
    let ack = frames.pop().expect("an ack");
    assert_eq!(ack["type"], "ack");
    assert!(
        frames.iter().all(|frame| frame["type"] != "ack"),
        "{frames:?}"
    );
}

#[tokio::test]
async fn the_routes_of_users_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let users = client.get("/user").await.expect(200);
    let names: Vec<&Value> = (0..3).map(|n| &users[n]["username"]).collect();
    assert_eq!(names, ["carl", "sigmund", "gustav"]);
    assert_eq!(client.get("/user/1").await.expect(200), users[0]);
    assert_eq!(
        client.get("/user/username/gustav").await.expect(200),
        users[2]
    );
    let members = client.get("/user/chat/1").await.expect(200);
    let ids: Vec<&Value> = (0..2).map(|n| &members[n]["customerId"]).collect();
    assert_eq!(ids, [1, 2]);

    let body = json!({ "username": "anna", "password": "secret" });
    let anna = client.post("/user", body).await.expect(201);
    assert_eq!(
        (&anna["customerId"], &anna["username"]),
        (&json!(4), &json!("anna"))
    );
    let body = json!({ "username": "anna-maria", "password": "secret" });
    let renamed = client.put("/user/4", body).await.expect(200);
    assert_eq!(renamed["username"], "anna-maria");
    client.delete("/user/4").await.expect(204);
    client
        .get("/user/4")
        .await
        .expect_error(404, "user_not_found");
}

#[tokio::test]
async fn the_routes_of_chats_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let chats = client.get("/chat").await.expect(200);
    let names: Vec<&Value> = (0..2).map(|n| &chats[n]["chatName"]).collect();
    assert_eq!(names, ["general", "random"]);
    assert_eq!(client.get("/chat/2").await.expect(200), chats[1]);

    for (key, id) in [("chatName", 3), ("chat_name", 4)] {
        let chat = client.post("/chat", json!({ key: "music" })).await;
        let chat = chat.expect(201);
        assert_eq!(
            (&chat["chatId"], &chat["chatName"]),
            (&json!(id), &json!("music"))
        );
    }
    let body = json!({ "chatName": "chamber music" });
    let renamed = client.put("/chat/3", body).await.expect(200);
    assert_eq!(renamed["chatName"], "chamber music");
    client.delete("/chat/3").await.expect(204);
    client
        .get("/chat/3")
        .await
        .expect_error(404, "chat_not_found");
}

#[tokio::test]
async fn the_routes_of_memberships_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let access = "/chat/user/3/chat/1/access";
    let membership = "/chat/user/3?chat_id=1";
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": false })
    );
    let member = client.get(membership).await.expect(201);
    assert_eq!(
        (&member["customerId"], &member["chatId"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": true })
    );
    client.get(membership).await.expect(200);
    client.delete(membership).await.expect(204);
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": false })
    );
}

#[tokio::test]
async fn the_websocket_route_asks_a_plain_request_to_upgrade() {
    let (server, _folder) = start().await;
    let reply = server.client().get("/ws").await;
    assert_eq!(reply.status, 426);
}
