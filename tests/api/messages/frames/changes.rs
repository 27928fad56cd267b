//! The answer to the sender of a change, and the broadcast to the chat.

use super::both;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Room, Socket, Store, apply, both_stores, change, rstest, told};

/// Sends a frame. Returns the content of its ack and the broadcast, which may arrive in either order.
async fn ack_and_broadcast(socket: &mut Socket, frame: Value) -> (Value, Value) {
    socket.send(frame).await;
    let (first, second) = (socket.next().await, socket.next().await);
    let (ack, broadcast) = match first["type"] == "ack" {
        true => (first, second),
        false => (second, first),
    };
    assert_eq!(ack["type"], "ack", "{ack}");
    (ack["content"].clone(), broadcast)
}

#[apply(both_stores)]
async fn a_sent_message_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let (mut carl, mut sigmund) = both(&room).await;
    let content = json!({ "chatId": room.chat, "customerId": room.carl, "content": "Hi world." });
    let frame = json!({ "type": "send-message", "id": "a", "content": content });
    let (ack, broadcast) = ack_and_broadcast(&mut carl, frame).await;
    let expected = json!({
        "messageId": ack["messageId"], "chatId": room.chat, "customerId": room.carl,
        "username": "carl", "content": "Hi world.", "seq": 1, "sentAt": ack["sentAt"],
        "editedAt": null, "deletedAt": null, "replyTo": null, "clientMessageId": null
    });
    assert_eq!(ack, expected);
    assert_eq!(broadcast, told("send-message", &ack));
    assert_eq!(sigmund.next().await, broadcast);
    let path = format!("/message/{}", ack["messageId"]);
    assert_eq!(room.client.get(&path).await.expect(200), ack);
    room.close().await;
}

#[apply(both_stores)]
async fn an_edit_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let sent = room.say("Hi world.").await;
    let (mut carl, mut sigmund) = both(&room).await;
    let content =
        json!({ "messageId": sent["messageId"], "chatId": room.chat, "content": "Hello world!" });
    let frame = json!({ "type": "update-message", "id": "a", "content": content });
    let (ack, broadcast) = ack_and_broadcast(&mut carl, frame).await;
    let mut expected = sent;
    expected["content"] = json!("Hello world!");
    expected["seq"] = json!(2);
    expected["editedAt"] = ack["editedAt"].clone();
    assert!(ack["editedAt"].is_string());
    assert_eq!(ack, expected);
    assert_eq!(broadcast, told("update-message", &ack));
    assert_eq!(sigmund.next().await, broadcast);
    room.close().await;
}

#[apply(both_stores)]
async fn a_deletion_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let id = room.say("Hi world.").await["messageId"].clone();
    let (mut carl, mut sigmund) = both(&room).await;
    let frame = json!({ "type": "delete-message", "id": "a", "content": id });
    let (ack, broadcast) = ack_and_broadcast(&mut carl, frame).await;
    assert_eq!(
        ack,
        json!({ "messageId": id, "chatId": room.chat, "seq": 2 })
    );
    let expected = json!({
        "type": "delete-message", "content": id, "chatId": room.chat,
        "customerId": room.carl, "seq": 2
    });
    assert_eq!(broadcast, expected);
    assert_eq!(sigmund.next().await, expected);
    let stored = room.client.get(&format!("/message/{id}")).await.expect(200);
    assert_eq!(
        (&stored["content"], &stored["seq"]),
        (&Value::Null, &json!(2))
    );
    assert!(stored["deletedAt"].is_string());
    room.close().await;
}

#[apply(both_stores)]
async fn a_deletion_takes_an_object_too(store: Store) {
    let room = Room::open(store).await;
    let id = room.say("Hi world.").await["messageId"].clone();
    let mut carl = room.enter(room.carl).await;
    let ack = carl.ask("delete-message", json!({ "messageId": id })).await;
    assert_eq!(ack["messageId"], id);
    room.close().await;
}

#[apply(both_stores)]
async fn changes_without_id_are_answered_by_the_broadcast_alone(store: Store) {
    let room = Room::of_members(store).await;
    let id = room.say("the first").await["messageId"].clone();
    let mut carl = room.enter(room.carl).await;
    let text = |text: &str| json!({ "chatId": room.chat, "content": text });
    for (kind, content) in [
        ("send-message", text("the second")),
        ("update-message", text("the second, edited")),
        ("delete-message", id),
    ] {
        carl.send(json!({ "type": kind, "content": content })).await;
    }
    carl.send(json!({ "type": "send-message", "id": "end", "content": text("the end") }))
        .await;
    // Answers come in the order of the frames: an answer to an earlier frame would come before this one.
    let mut frames = carl.frames_until(|frame| frame["id"] == "end").await;
    if !frames.iter().any(|frame| change(frame) == Some(5)) {
        frames.extend(carl.frames_until(|frame| change(frame) == Some(5)).await);
    }
    let kinds = |frame: &Value| frame["type"].as_str().map(str::to_owned);
    let (changes, answers): (Vec<Value>, Vec<Value>) = frames
        .into_iter()
        .partition(|frame| change(frame).is_some());
    let changes: Vec<String> = changes.iter().filter_map(kinds).collect();
    let expected = [
        "send-message",
        "update-message",
        "delete-message",
        "send-message",
    ];
    assert_eq!(changes, expected);
    assert_eq!(answers.len(), 1, "{answers:?}");
    room.close().await;
}

#[apply(both_stores)]
async fn an_id_is_given_back_as_it_came(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    for id in [json!(1), json!(-2.5), json!(""), json!("ü 名"), json!("1")] {
        let content = json!({ "chatId": room.chat, "content": "x" });
        carl.send(json!({ "type": "send-message", "id": id, "content": content }))
            .await;
        assert_eq!(carl.until("ack").await["id"], id);
    }
    room.close().await;
}

#[apply(both_stores)]
async fn an_edit_without_message_id_edits_the_senders_latest(store: Store) {
    let room = Room::of_members(store).await;
    let (mut carl, mut sigmund) = both(&room).await;
    let first = carl.say(room.chat, "carl's first").await;
    let latest = carl.say(room.chat, "carl's latest").await;
    sigmund.say(room.chat, "sigmund's").await;
    let edit = json!({ "chatId": room.chat, "content": "edited" });
    let edited = carl.ask("update-message", edit.clone()).await;
    assert_eq!(edited["messageId"], latest["messageId"]);
    carl.ask("delete-message", latest["messageId"].clone())
        .await;
    let edited = carl.ask("update-message", edit).await;
    assert_eq!(
        edited["messageId"], first["messageId"],
        "a deleted message is not the latest"
    );
    room.close().await;
}

#[apply(both_stores)]
async fn a_reply_names_what_it_answers(store: Store) {
    let room = Room::open(store).await;
    let question = room.say("What time is it?").await["messageId"].clone();
    let mut sigmund = room.enter(room.sigmund).await;
    let content =
        json!({ "chatId": room.chat, "content": "Time for a break.", "replyTo": question });
    let answer = sigmund.ask("send-message", content).await;
    assert_eq!(answer["replyTo"], question);
    assert_eq!(room.history().await[1], answer);
    let other = room.client.new_chat("random").await;
    sigmund.enter(room.sigmund, other).await;
    let content = json!({ "chatId": other, "content": "What was that?", "replyTo": question });
    sigmund
        .refused("send-message", content, "invalid_field")
        .await;
    room.close().await;
}

#[apply(both_stores)]
async fn changes_by_rest_are_told_to_sockets_alike(store: Store) {
    let room = Room::of_members(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let sent = room.say("Hi world.").await;
    assert_eq!(sigmund.next().await, told("send-message", &sent));
    let path = format!("/message/{}", sent["messageId"]);
    let edited = room.client.put(&path, json!({ "content": "Hello!" })).await;
    let expected = told("update-message", &edited.expect(200));
    assert_eq!(sigmund.next().await, expected);
    let delete = format!("{path}?customerId={}", room.carl);
    let delete = room.client.request(Method::DELETE, &delete);
    room.client.send(delete).await.expect(204);
    let expected = json!({
        "type": "delete-message", "content": sent["messageId"], "chatId": room.chat,
        "customerId": room.carl, "seq": 3
    });
    assert_eq!(sigmund.next().await, expected);
    room.close().await;
}
