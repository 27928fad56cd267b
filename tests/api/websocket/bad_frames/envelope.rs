//! Frames with a wrong envelope, and frames that come at a wrong time.

use super::{prepared, unharmed};
use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn what_is_no_frame_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    for (text, code) in [
        ("", "invalid_json"),
        ("hello", "invalid_json"),
        ("{\"type\":", "invalid_json"),
        ("{'type':'leave-chat'}", "invalid_json"),
        ("{} {}", "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        ("null", "invalid_field"),
        ("7", "invalid_field"),
        ("\"leave-chat\"", "invalid_field"),
        ("[]", "invalid_field"),
        ("[\"leave-chat\",1]", "invalid_field"),
        ("{}", "invalid_field"),
        ("{\"content\":1}", "invalid_field"),
        ("{\"type\":null,\"content\":1}", "invalid_field"),
        ("{\"type\":7,\"content\":1}", "invalid_field"),
        (
            "{\"type\":\"leave-chat\",\"type\":\"leave-chat\"}",
            "invalid_field",
        ),
        ("{\"type\":\"\"}", "unknown_type"),
        ("{\"type\":\"dance\",\"content\":1}", "unknown_type"),
        ("{\"type\":\"Leave-Chat\",\"content\":1}", "unknown_type"),
        ("{\"type\":\"join\",\"content\":1}", "unknown_type"),
        ("{\"type\":\"ack\",\"content\":1}", "unknown_type"),
    ] {
        socket.send_text(text).await;
        let error = socket.expect_error(code).await;
        assert_eq!(error.get("id"), None, "{text}: {error}");
    }
    socket.send(json!({ "type": "dance", "id": "a" })).await;
    assert_eq!(socket.expect_error("unknown_type").await["id"], "a");
    socket.send(json!({ "id": "b" })).await;
    assert_eq!(socket.expect_error("invalid_field").await["id"], "b");
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    socket.send_text(&nested).await;
    socket.expect("error").await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn an_id_of_a_wrong_kind_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let content = json!({ "chatId": room.chat, "content": "x" });
    for id in [json!([1]), json!({ "id": 1 }), json!(true), json!(false)] {
        socket
            .send(json!({ "type": "send-message", "id": id, "content": content }))
            .await;
        let error = socket.expect_error("invalid_field").await;
        assert_eq!(error.get("id"), None, "{error}");
    }
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn before_connect_chat_nothing_else_is_understood(store: Store) {
    let room = Room::of_members(store).await;
    let message = room.say("the only one").await;
    let mut socket = room.server.socket().await;
    let text = json!({ "chatId": room.chat, "content": "x" });
    for (kind, content) in [
        ("send-message", text.clone()),
        ("start-typing", text.clone()),
        (
            "mark-read",
            json!({ "chatId": room.chat, "messageId": message["messageId"] }),
        ),
        ("update-message", text),
        ("delete-message", message["messageId"].clone()),
        ("leave-chat", json!(room.chat)),
    ] {
        socket.refused(kind, content, "not_connected").await;
    }
    socket.enter(room.carl, room.chat).await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn a_refused_frame_in_the_midst_of_good_ones_costs_them_nothing(store: Store) {
    let room = Room::of_members(store).await;
    let mut socket = room.enter(room.carl).await;
    for n in 0..100 {
        // Every fifth answers a message that does not exist: refused with the batch it comes in.
        let reply = if n % 5 == 0 {
            json!(999_999)
        } else {
            json!(null)
        };
        let content = json!({ "chatId": room.chat, "content": n.to_string(), "replyTo": reply });
        socket
            .send(json!({ "type": "send-message", "id": n, "content": content }))
            .await;
    }
    for n in 0..100 {
        let answered = |frame: &Value| frame.get("id").is_some();
        let frames = socket.frames_until(answered).await;
        let answer = frames.last().expect("an answer");
        assert_eq!(answer["id"], n, "answers come in the order of the frames");
        let expected = if n % 5 == 0 { "error" } else { "ack" };
        assert_eq!(answer["type"], expected, "{answer}");
    }
    let history = room.history().await;
    assert_eq!(history.len(), 80);
    assert_eq!(history[79]["seq"], 80);
    room.close().await;
}
