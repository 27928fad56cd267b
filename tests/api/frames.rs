//! What becomes of `send-message`, `update-message` and `delete-message`.

use crate::harness::{Room, Socket, Store, change, number, on_both_stores};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stores!(
    a_sent_message_is_acked_and_told_to_everyone,
    an_edit_is_acked_and_told_to_everyone,
    a_deletion_is_acked_and_told_to_everyone,
    a_deletion_takes_an_object_too,
    changes_without_id_are_answered_by_the_broadcast_alone,
    an_id_is_given_back_as_it_came,
    changes_are_numbered_without_a_gap,
    an_edit_without_message_id_edits_the_senders_latest,
    only_the_author_edits,
    the_author_and_an_admin_delete_and_nobody_else,
    a_deleted_message_is_not_edited,
    a_message_is_deleted_once,
    where_there_is_no_message_none_is_edited,
    a_message_of_another_chat_is_not_edited_here,
    a_reply_names_what_it_answers,
    nobody_speaks_for_another,
    changes_by_rest_are_told_to_sockets_alike,
    a_burst_keeps_its_order_and_its_acks,
    every_socket_sees_one_order,
);

/// Carl's and sigmund's sockets, both past the joins.
async fn both(room: &Room) -> (Socket, Socket) {
    let mut carl = room.enter(room.carl).await;
    let sigmund = room.enter(room.sigmund).await;
    carl.expect("join").await;
    (carl, sigmund)
}

/// The ack's content and the broadcast that one socket got, in whatever order they came.
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

async fn a_sent_message_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::open(store).await;
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
    assert_eq!(broadcast, json!({ "type": "send-message", "content": ack }));
    assert_eq!(sigmund.next().await, broadcast);
    let path = format!("/message/{}", ack["messageId"]);
    assert_eq!(room.client.get(&path).await.expect(200), ack);
    room.close().await;
}

async fn an_edit_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::open(store).await;
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
    assert_eq!(
        broadcast,
        json!({ "type": "update-message", "content": ack })
    );
    assert_eq!(sigmund.next().await, broadcast);
    room.close().await;
}

async fn a_deletion_is_acked_and_told_to_everyone(store: Store) {
    let room = Room::open(store).await;
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

async fn a_deletion_takes_an_object_too(store: Store) {
    let room = Room::open(store).await;
    let id = room.say("Hi world.").await["messageId"].clone();
    let mut carl = room.enter(room.carl).await;
    let ack = carl.ask("delete-message", json!({ "messageId": id })).await;
    assert_eq!(ack["messageId"], id);
    room.close().await;
}

async fn changes_without_id_are_answered_by_the_broadcast_alone(store: Store) {
    let room = Room::open(store).await;
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
    carl.say(room.chat, "the end").await;
    carl.say(room.chat, "the very end").await;
    let mut again = room.resume(room.sigmund, 1).await.1;
    again.retain(|frame| change(frame).is_some());
    assert_eq!(again.len(), 4, "{again:?}");
    room.close().await;
}

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

async fn changes_are_numbered_without_a_gap(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        let sent = carl.say(room.chat, "x").await;
        assert_eq!(sent["seq"], n);
        ids.push(sent["messageId"].clone());
    }
    let edit = json!({ "messageId": ids[0], "chatId": room.chat, "content": "y" });
    let edited = carl.ask("update-message", edit).await;
    assert_eq!(edited["seq"], 4);
    let deleted = carl.ask("delete-message", ids[1].clone()).await;
    assert_eq!(deleted["seq"], 5);
    assert_eq!(carl.say(room.chat, "the end").await["seq"], 6);
    room.close().await;
}

async fn an_edit_without_message_id_edits_the_senders_latest(store: Store) {
    let room = Room::open(store).await;
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

async fn only_the_author_edits(store: Store) {
    let room = Room::open(store).await;
    let sent = room.say("carl's own words").await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    let admin = room.client.put(&path, json!({ "role": "admin" })).await;
    admin.expect(201);
    let mut sigmund = room.enter(room.sigmund).await;
    let edit = json!({ "messageId": sent["messageId"], "chatId": room.chat, "content": "others" });
    sigmund.refused("update-message", edit, "forbidden").await;
    assert_eq!(room.history().await, [sent], "not even an admin");
    room.close().await;
}

async fn the_author_and_an_admin_delete_and_nobody_else(store: Store) {
    let room = Room::open(store).await;
    let (first, second) = (room.say("one").await, room.say("two").await);
    let (mut carl, mut sigmund) = both(&room).await;
    let id = first["messageId"].clone();
    sigmund
        .refused("delete-message", id.clone(), "forbidden")
        .await;
    carl.ask("delete-message", id).await;
    let path = format!("/chat/{}/user/{}", room.chat, room.sigmund);
    let admin = room.client.put(&path, json!({ "role": "admin" })).await;
    admin.expect(200);
    sigmund
        .ask("delete-message", second["messageId"].clone())
        .await;
    let deleted = carl
        .frames_until(|frame| frame["customerId"] == room.sigmund)
        .await;
    let last = deleted.last().expect("the deletion");
    assert_eq!(last["content"], second["messageId"]);
    room.close().await;
}

async fn a_deleted_message_is_not_edited(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let id = carl.say(room.chat, "gone").await["messageId"].clone();
    carl.ask("delete-message", id.clone()).await;
    let edit = json!({ "messageId": id, "chatId": room.chat, "content": "back" });
    carl.refused("update-message", edit, "message_not_found")
        .await;
    assert_eq!(carl.say(room.chat, "next").await["seq"], 3);
    room.close().await;
}

async fn a_message_is_deleted_once(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let id = carl.say(room.chat, "gone").await["messageId"].clone();
    carl.ask("delete-message", id.clone()).await;
    carl.refused("delete-message", id, "message_not_found")
        .await;
    assert_eq!(carl.say(room.chat, "next").await["seq"], 3);
    room.close().await;
}

async fn where_there_is_no_message_none_is_edited(store: Store) {
    let room = Room::open(store).await;
    room.say("carl's").await;
    let mut sigmund = room.enter(room.sigmund).await;
    let edit = json!({ "chatId": room.chat, "content": "x" });
    sigmund
        .refused("update-message", edit, "message_not_found")
        .await;
    let unknown = json!({ "messageId": 999_999, "chatId": room.chat, "content": "x" });
    sigmund
        .refused("update-message", unknown, "message_not_found")
        .await;
    sigmund
        .refused("delete-message", json!(999_999), "message_not_found")
        .await;
    room.close().await;
}

async fn a_message_of_another_chat_is_not_edited_here(store: Store) {
    let room = Room::open(store).await;
    let other = room.client.new_chat("random").await;
    let sent = room.client.say(room.carl, other, "over there").await;
    let mut carl = room.enter(room.carl).await;
    let edit = json!({ "messageId": sent["messageId"], "chatId": room.chat, "content": "here" });
    carl.refused("update-message", edit, "message_not_found")
        .await;
    room.close().await;
}

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

async fn nobody_speaks_for_another(store: Store) {
    let room = Room::open(store).await;
    let (mut carl, mut sigmund) = both(&room).await;
    sigmund.say(room.chat, "my own words").await;
    let content = json!({ "chatId": room.chat, "customerId": room.sigmund, "content": "x" });
    for kind in ["send-message", "update-message"] {
        carl.refused(kind, content.clone(), "forbidden").await;
    }
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}

async fn changes_by_rest_are_told_to_sockets_alike(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let sent = room.say("Hi world.").await;
    let expected = json!({ "type": "send-message", "content": sent });
    assert_eq!(sigmund.next().await, expected);
    let path = format!("/message/{}", sent["messageId"]);
    let edited = room.client.put(&path, json!({ "content": "Hello!" })).await;
    let expected = json!({ "type": "update-message", "content": edited.expect(200) });
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

async fn a_burst_keeps_its_order_and_its_acks(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    for n in 1..=200 {
        let content = json!({ "chatId": room.chat, "content": n.to_string() });
        carl.send(json!({ "type": "send-message", "id": n, "content": content }))
            .await;
    }
    let (mut acks, mut broadcasts) = (Vec::new(), Vec::new());
    while acks.len() + broadcasts.len() < 400 {
        let frame = carl.next().await;
        match frame["type"] == "ack" {
            true => {
                assert_eq!(frame["id"], frame["content"]["seq"]);
                acks.push(frame["content"].clone());
            }
            false => broadcasts.push(frame["content"].clone()),
        }
    }
    assert_eq!(acks, broadcasts);
    for (n, message) in (1..=200).zip(&acks) {
        assert_eq!(number(message, "seq"), n);
        assert_eq!(message["content"], n.to_string());
    }
    room.close().await;
}

async fn every_socket_sees_one_order(store: Store) {
    let room = Room::open(store).await;
    let (carl, sigmund) = both(&room).await;
    let speak = |mut socket: Socket, name: &'static str, chat: i64| async move {
        for n in 0..50 {
            let content = json!({ "chatId": chat, "content": format!("{name} {n}") });
            socket
                .send(json!({ "type": "send-message", "content": content }))
                .await;
        }
        let all = |frame: &Value| change(frame) == Some(100);
        socket.frames_until(all).await
    };
    let (one, other) = tokio::join!(
        tokio::spawn(speak(carl, "carl", room.chat)),
        tokio::spawn(speak(sigmund, "sigmund", room.chat)),
    );
    let (one, other) = (one.expect("carl's frames"), other.expect("sigmund's"));
    assert_eq!(one, other);
    let order: Vec<i64> = one.iter().filter_map(change).collect();
    assert_eq!(order, (1..=100).collect::<Vec<i64>>());
    for name in ["carl", "sigmund"] {
        let texts = one
            .iter()
            .filter_map(|frame| frame["content"]["content"].as_str());
        let own: Vec<&str> = texts.filter(|text| text.starts_with(name)).collect();
        let expected: Vec<String> = (0..50).map(|n| format!("{name} {n}")).collect();
        assert_eq!(own, expected, "each sender's order is kept");
    }
    room.close().await;
}
