//! Each type of frame with each wrong content.

use super::{prepared, unharmed};
use serde_json::{Value, json};
use testkit::{Room, Socket, Store, apply, both_stores, rstest};

/// Returns values that are no positive integer.
fn no_ids() -> Vec<Value> {
    let mut wrong = vec![json!("1"), json!(""), json!(0), json!(-1), json!(1.5)];
    wrong.extend([json!(true), json!([1]), json!({ "id": 1 })]);
    wrong.push(json!(9_223_372_036_854_775_808_u64));
    wrong
}

/// Returns values that are no string.
fn no_strings() -> Vec<Value> {
    vec![json!(7), json!(true), json!(["x"]), json!({ "text": "x" })]
}

/// Returns invalid contents of a type that takes an object, made from this valid content.
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

/// Returns invalid contents of a type that carries a text, made from this valid content.
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

/// Returns invalid contents of a type that takes an id, or an object with an id in this field.
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

/// Returns the content with another value in one field.
fn with(content: &Value, field: &str, value: Value) -> Value {
    let mut content = content.clone();
    content[field] = value;
    content
}

/// Returns the content without one field.
fn without(content: &Value, field: &str) -> Value {
    let mut content = content.clone();
    content.as_object_mut().expect("an object").remove(field);
    content
}

/// Sends each content with a frame id and without one. Checks that each is refused with its code.
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
    // A frame without any content.
    socket.send(json!({ "type": kind, "id": "bare" })).await;
    assert_eq!(socket.expect_error("invalid_field").await["id"], "bare");
}

#[apply(both_stores)]
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
    room.settle().await;
    socket.enter(room.carl, room.chat).await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
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

#[apply(both_stores)]
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

#[apply(both_stores)]
async fn a_wrong_delete_message_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let mut cases = wrong_ids("messageId");
    cases.push((json!(999_999), "message_not_found"));
    cases.push((json!({ "messageId": 999_999 }), "message_not_found"));
    refuse_all(&mut socket, "delete-message", cases).await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn a_wrong_leave_chat_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let mut cases = wrong_ids("chatId");
    cases.push((json!(999_999), "not_connected"));
    cases.push((json!({ "chatId": 999_999 }), "not_connected"));
    refuse_all(&mut socket, "leave-chat", cases).await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn a_wrong_start_typing_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let right = json!({ "chatId": room.chat });
    let mut cases = wrong_objects(&right);
    cases.push((with(&right, "chatId", json!(999_999)), "not_connected"));
    refuse_all(&mut socket, "start-typing", cases).await;
    unharmed(room, socket, message).await;
}

#[apply(both_stores)]
async fn a_wrong_mark_read_is_refused(store: Store) {
    let (room, mut socket, message) = prepared(store).await;
    let right = json!({ "chatId": room.chat, "messageId": message["messageId"] });
    let mut cases = wrong_objects(&right);
    cases.push((with(&right, "chatId", json!(999_999)), "not_connected"));
    cases.push((without(&right, "messageId"), "invalid_field"));
    cases.extend(
        no_ids()
            .into_iter()
            .map(|id| (with(&right, "messageId", id), "invalid_field")),
    );
    let unknown = with(&right, "messageId", json!(999_999));
    cases.push((unknown, "message_not_found"));
    refuse_all(&mut socket, "mark-read", cases).await;
    unharmed(room, socket, message).await;
}
