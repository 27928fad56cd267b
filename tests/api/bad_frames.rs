//! Frames that are wrong: each is answered by an error that carries its id, the socket stays open
//! and works afterwards, and nothing of it is stored.

use crate::harness::{Room, Socket, Store, on_both_stores};
use serde_json::{Value, json};

on_both_stores!(
    what_is_no_frame_is_refused,
    an_id_of_a_wrong_kind_is_refused,
    a_wrong_connect_chat_is_refused,
    a_wrong_send_message_is_refused,
    a_wrong_update_message_is_refused,
    a_wrong_delete_message_is_refused,
    a_wrong_leave_chat_is_refused,
    before_connect_chat_nothing_else_is_understood,
    a_refused_frame_in_the_midst_of_good_ones_costs_them_nothing,
);

/// What stands in the place of a positive integer.
fn no_ids() -> Vec<Value> {
    let mut wrong = vec![json!("1"), json!(""), json!(0), json!(-1), json!(1.5)];
    wrong.extend([json!(true), json!([1]), json!({ "id": 1 })]);
    wrong.push(json!(9_223_372_036_854_775_808_u64));
    wrong
}

/// What stands in the place of a string.
fn no_strings() -> Vec<Value> {
    vec![json!(7), json!(true), json!(["x"]), json!({ "text": "x" })]
}

/// The same content with another value in one field.
fn with(content: &Value, field: &str, value: Value) -> Value {
    let mut content = content.clone();
    content[field] = value;
    content
}

/// The same content without one field.
fn without(content: &Value, field: &str) -> Value {
    let mut content = content.clone();
    content.as_object_mut().expect("an object").remove(field);
    content
}

/// Wrong contents of a type whose content must be an object, with this right one.
fn wrong_objects(right: &Value) -> Vec<(Value, &'static str)> {
    let mut wrong = vec![json!(null), json!("x"), json!(7), json!([]), json!({})];
    wrong.push(without(right, "chatId"));
    wrong.push(with(right, "chatId", json!(null)));
    for field in ["chatId", "customerId"] {
        wrong.extend(no_ids().into_iter().map(|value| with(right, field, value)));
    }
    wrong
        .into_iter()
        .map(|content| (content, "invalid_field"))
        .collect()
}

/// Wrong contents of a type that carries a text.
fn wrong_texts(right: &Value) -> Vec<(Value, &'static str)> {
    let mut wrong = no_strings();
    wrong.extend([json!(null), json!(""), json!(" \n\t"), json!("\u{3000}")]);
    wrong.push(json!("a\0b"));
    let mut cases = vec![(without(right, "content"), "invalid_field")];
    cases.extend(
        wrong
            .into_iter()
            .map(|text| (with(right, "content", text), "invalid_field")),
    );
    let long = json!("x".repeat(16 * 1024 + 1));
    cases.push((with(right, "content", long), "too_large"));
    let wide = json!("ü".repeat(8 * 1024 + 1));
    cases.push((with(right, "content", wide), "too_large"));
    cases
}

/// Sends each content with an id and without; each must be refused with its code.
async fn refuse_all(socket: &mut Socket, kind: &str, cases: Vec<(Value, &str)>) {
    for (n, (content, code)) in cases.into_iter().enumerate() {
        let bare = json!({ "type": kind, "content": content });
        socket.send(with(&bare, "id", json!(n))).await;
        let error = socket.expect_error(code).await;
        assert_eq!(error["id"], n, "{kind} {content}: {error}");
        socket.send(bare).await;
        let error = socket.expect_error(code).await;
        assert_eq!(error.get("id"), None, "{kind} {content}: {error}");
    }
    // The content is missing altogether.
    socket.send(json!({ "type": kind, "id": "bare" })).await;
    assert_eq!(socket.expect_error("invalid_field").await["id"], "bare");
}

/// A connected socket of carl's in a chat with one message.
async fn prepared(store: Store) -> (Room, Socket, Value) {
    let room = Room::open(store).await;
    let message = room.say("the only one").await;
    let socket = room.enter(room.carl).await;
    (room, socket, message)
}

/// The socket works, and the chat is as it was.
async fn unharmed(room: Room, mut socket: Socket, message: Value) {
    assert_eq!(room.history().await, [message]);
    let next = socket.say(room.chat, "All is well.").await;
    assert_eq!(next["seq"], 2);
    room.close().await;
}

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

async fn a_wrong_connect_chat_is_refused(store: Store) {
    let room = Room::open(store).await;
    let message = room.say("the only one").await;
    let mut socket = room.server.socket().await;
    let right = json!({ "customerId": room.carl, "chatId": room.chat });
    let mut cases = wrong_objects(&right);
    cases.push((without(&right, "customerId"), "invalid_field"));
    let unknown = json!(999_999);
    cases.push((
        with(&right, "customerId", unknown.clone()),
        "user_not_found",
    ));
    cases.push((with(&right, "chatId", unknown), "chat_not_found"));
    let mut names = no_strings();
    names.extend([json!(""), json!(" "), json!("a\0b"), json!("a\nb")]);
    names.push(json!("x".repeat(256)));
    cases.extend(
        names
            .into_iter()
            .map(|name| (with(&right, "username", name), "invalid_field")),
    );
    let tokens = no_strings().into_iter();
    cases.extend(tokens.map(|token| (with(&right, "token", token), "invalid_field")));
    let since = [json!("0"), json!(-1), json!(0.5), json!(true), json!([])];
    cases.extend(
        since
            .into_iter()
            .map(|since| (with(&right, "since", since), "invalid_field")),
    );
    refuse_all(&mut socket, "connect-chat", cases).await;
    let members = format!("/user/chat/{}", room.chat);
    assert_eq!(room.client.get(&members).await.expect(200), json!([]));
    socket.enter(room.carl, room.chat).await;
    unharmed(room, socket, message).await;
}

async fn a_wrong_send_message_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let right = json!({ "chatId": room.chat, "content": "x" });
    let mut cases = wrong_objects(&right);
    cases.extend(wrong_texts(&right));
    cases.push((with(&right, "chatId", json!(999_999)), "not_connected"));
    let mut keys = no_strings();
    keys.extend([json!(""), json!(" "), json!("a\0b"), json!("a\nb")]);
    keys.push(json!("x".repeat(65)));
    cases.extend(
        keys.into_iter()
            .map(|key| (with(&right, "clientMessageId", key), "invalid_field")),
    );
    let mut replies = no_ids();
    replies.push(json!(999_999));
    cases.extend(
        replies
            .into_iter()
            .map(|id| (with(&right, "replyTo", id), "invalid_field")),
    );
    refuse_all(&mut socket, "send-message", cases).await;
    unharmed(room, socket, message).await;
}

async fn a_wrong_update_message_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let right = json!({
        "messageId": message["messageId"], "chatId": room.chat, "content": "edited"
    });
    let mut cases = wrong_objects(&right);
    cases.extend(wrong_texts(&right));
    cases.push((with(&right, "chatId", json!(999_999)), "not_connected"));
    cases.extend(
        no_ids()
            .into_iter()
            .map(|id| (with(&right, "messageId", id), "invalid_field")),
    );
    let unknown = with(&right, "messageId", json!(999_999));
    cases.push((unknown, "message_not_found"));
    refuse_all(&mut socket, "update-message", cases).await;
    unharmed(room, socket, message).await;
}

/// Wrong contents of a type whose content is an id, or an object that holds one in this field.
fn wrong_ids(field: &str) -> Vec<(Value, &'static str)> {
    let mut wrong = no_ids();
    wrong.extend([json!(null), json!({}), json!({ "other": 1 }), json!([])]);
    wrong.push(json!({ field: null }));
    wrong.extend(no_ids().into_iter().map(|id| json!({ field: id })));
    wrong
        .into_iter()
        .map(|content| (content, "invalid_field"))
        .collect()
}

async fn a_wrong_delete_message_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let mut cases = wrong_ids("messageId");
    cases.push((json!(999_999), "message_not_found"));
    cases.push((json!({ "messageId": 999_999 }), "message_not_found"));
    refuse_all(&mut socket, "delete-message", cases).await;
    unharmed(room, socket, message).await;
}

async fn a_wrong_leave_chat_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let mut cases = wrong_ids("chatId");
    cases.push((json!(999_999), "not_connected"));
    cases.push((json!({ "chatId": 999_999 }), "not_connected"));
    refuse_all(&mut socket, "leave-chat", cases).await;
    unharmed(room, socket, message).await;
}

async fn before_connect_chat_nothing_else_is_understood(store: Store) {
    let room = Room::open(store).await;
    let message = room.say("the only one").await;
    let mut socket = room.server.socket().await;
    let text = json!({ "chatId": room.chat, "content": "x" });
    for (kind, content) in [
        ("send-message", text.clone()),
        ("update-message", text),
        ("delete-message", message["messageId"].clone()),
        ("leave-chat", json!(room.chat)),
    ] {
        socket.refused(kind, content, "not_connected").await;
    }
    socket.enter(room.carl, room.chat).await;
    unharmed(room, socket, message).await;
}

async fn a_refused_frame_in_the_midst_of_good_ones_costs_them_nothing(store: Store) {
    let room = Room::open(store).await;
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
