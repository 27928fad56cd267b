//! The original's frames, word for word, `customerd` included.

use super::start;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Process, Socket};

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
