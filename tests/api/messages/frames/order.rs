//! The order in which changes are numbered, acknowledged and broadcast.

use super::both;
use serde_json::{Value, json};
use testkit::{Room, Socket, Store, apply, both_stores, change, number, rstest};

#[apply(both_stores)]
async fn changes_are_numbered_without_a_gap(store: Store) {
    let room = Room::of_members(store).await;
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

#[apply(both_stores)]
async fn a_burst_keeps_its_order_and_its_acks(store: Store) {
    let room = Room::of_members(store).await;
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

#[apply(both_stores)]
async fn every_socket_sees_one_order(store: Store) {
    let room = Room::of_members(store).await;
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
