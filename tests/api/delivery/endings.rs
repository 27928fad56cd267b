//! Broadcasts of the end of a user, a chat or a membership.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::{Room, Store, apply, both_stores, change, number, rstest};

/// Deletes by REST what must be there.
async fn delete(room: &Room, path: String) {
    room.client.delete(&path).await.expect(204);
}

/// The report that carl is no member any more, of his own doing, because he was deleted. A replay has no name of his.
fn ended(room: &Room, name: Option<&str>, seq: i64) -> Value {
    let member =
        json!({ "customerId": room.carl, "username": name, "role": null, "joinedAt": null });
    json!({
        "type": "update-member", "content": member, "chatId": room.chat, "customerId": room.carl,
        "seq": seq
    })
}

#[apply(both_stores)]
async fn a_deleted_users_messages_become_tombstones_for_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let (one, two) = (room.say("one").await, room.say("two").await);
    let kept = room.client.say(room.sigmund, room.chat, "sigmund's").await;
    sigmund.frames_until(|frame| change(frame) == Some(3)).await;
    delete(&room, format!("/user/{}", room.carl)).await;
    for (message, seq) in [(&one, 4), (&two, 5)] {
        let expected = json!({
            "type": "delete-message", "content": message["messageId"], "chatId": room.chat,
            "customerId": room.carl, "seq": seq
        });
        assert_eq!(sigmund.next().await, expected);
    }
    assert_eq!(sigmund.next().await, ended(&room, Some("carl"), 6));
    let history = room.history().await;
    assert_eq!(history[0], kept);
    for tombstone in &history[1..] {
        for field in ["content", "customerId", "username"] {
            assert_eq!(tombstone[field], Value::Null, "{tombstone}");
        }
    }
    assert_eq!(sigmund.say(room.chat, "on we go").await["seq"], 7);
    room.close().await;
}

#[apply(both_stores)]
async fn a_deleted_user_with_thousands_of_messages_leaves_a_tombstone_each(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let texts: Vec<String> = (1..=1100).map(|n| n.to_string()).collect();
    carl.say_all(room.chat, &texts).await;
    let mut sigmund = room.enter(room.sigmund).await;
    delete(&room, format!("/user/{}", room.carl)).await;
    let frames = sigmund
        .frames_until(|frame| change(frame) == Some(2200))
        .await;
    let seqs: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(seqs, (1101..=2200).collect::<Vec<i64>>());
    assert_eq!(carl.closed().await, 4001);
    room.close().await;
}

#[apply(both_stores)]
async fn who_was_away_learns_of_a_deleted_users_tombstones(store: Store) {
    let room = Room::of_members(store).await;
    let id = room.say("carl's").await["messageId"].clone();
    delete(&room, format!("/user/{}", room.carl)).await;
    let (_socket, frames, ack) = room.resume(room.sigmund, 1).await;
    let expected = json!({
        "type": "delete-message", "content": id, "chatId": room.chat,
        "customerId": room.carl, "seq": 2, "replay": true
    });
    let mut member = ended(&room, None, 3);
    member["replay"] = json!(true);
    assert_eq!(frames, [expected, member]);
    assert_eq!(ack["seq"], 3);
    room.close().await;
}

#[apply(both_stores)]
async fn a_deleted_users_sockets_close_4001(store: Store) {
    let room = Room::open(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut sockets = [room.enter(room.carl).await, room.enter(room.carl).await];
    delete(&room, format!("/user/{}", room.carl)).await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4001);
    }
    assert_eq!(watcher.until("leave").await["customerId"], room.carl);
    let mut again = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat });
    again
        .refused("connect-chat", content, "user_not_found")
        .await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_deleted_chat_closes_for_everyone(store: Store) {
    let room = Room::of_members(store).await;
    let other = room.client.new_chat("random").await;
    let mut carl = room.enter(room.carl).await;
    carl.enter(room.carl, other).await;
    let mut sigmund = room.enter(room.sigmund).await;
    carl.expect("join").await;
    delete(&room, format!("/chat/{}", room.chat)).await;
    let expected = json!({ "type": "delete-chat", "content": room.chat });
    for socket in [&mut carl, &mut sigmund] {
        assert_eq!(socket.next().await, expected);
        let text = json!({ "chatId": room.chat, "content": "anybody?" });
        socket.refused("send-message", text, "not_connected").await;
    }
    let content = json!({ "customerId": room.sigmund, "chatId": room.chat });
    sigmund
        .refused("connect-chat", content, "chat_not_found")
        .await;
    let next = carl.say(other, "still open").await;
    assert_eq!(next["seq"], 2, "after carl's own membership");
    room.close().await;
}

#[apply(both_stores)]
async fn a_removed_member_hears_so_and_then_nothing(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sockets = [
        room.enter(room.sigmund).await,
        room.enter(room.sigmund).await,
    ];
    let path = format!("/chat/user/{}?chat_id={}", room.sigmund, room.chat);
    delete(&room, path).await;
    room.say("between us").await;
    for socket in &mut sockets {
        let expected = json!({ "type": "leave-chat", "content": room.chat });
        assert_eq!(socket.next().await, expected);
        let text = json!({ "chatId": room.chat, "content": "me too" });
        socket
            .send(json!({ "type": "send-message", "id": 1, "content": text }))
            .await;
        let answer = socket.expect_error("not_connected").await;
        assert_eq!(answer["id"], 1, "nothing comes before the answer");
    }
    // The `leave` is of the moment: it comes before the changes, between them or after them.
    let mut heard: BTreeMap<String, Value> = BTreeMap::new();
    while !["update-member", "send-message", "leave"]
        .iter()
        .all(|kind| heard.contains_key(*kind))
    {
        let frame = carl.next().await;
        heard.insert(frame["type"].as_str().expect("a type").to_owned(), frame);
    }
    let removed = &heard["update-member"];
    assert_eq!(removed["content"]["role"], Value::Null, "{removed}");
    assert_eq!(change(removed), Some(1));
    let sent = &heard["send-message"];
    assert_eq!(sent["content"]["content"], "between us");
    assert_eq!(change(sent), Some(2));
    assert_eq!(carl.say(room.chat, "go on").await["seq"], 3);
    room.close().await;
}

#[apply(both_stores)]
async fn a_chat_deleted_in_mid_burst_refuses_its_own_messages_alone(store: Store) {
    const EACH: i64 = 200;
    let room = Room::open(store).await;
    let (doomed, kept) = (room.chat, room.client.new_chat("kept").await);
    let mut carl = room.enter(room.carl).await;
    carl.enter(room.carl, kept).await;
    // The first number is that of carl's membership.
    let mut deleting = None;
    let (mut of_doomed, mut of_kept) = (Vec::new(), Vec::new());
    for n in 0..2 * EACH {
        // In bursts, so that neither side waits for the other to read.
        let chat = if n % 2 == 0 { doomed } else { kept };
        let content = json!({ "chatId": chat, "content": n.to_string() });
        carl.send(json!({ "type": "send-message", "id": n, "content": content }))
            .await;
        if n == EACH {
            let (client, path) = (room.client.clone(), format!("/chat/{doomed}"));
            deleting = Some(tokio::spawn(async move { client.delete(&path).await }));
        }
        if n % 40 < 39 {
            continue;
        }
        // A refusal may overtake the acks before it.
        let mut answers = BTreeMap::new();
        while answers.len() < 40 {
            let frames = carl.frames_until(|frame| frame["id"].is_i64()).await;
            let answer = frames.last().expect("an answer").clone();
            answers.insert(number(&answer, "id"), answer);
        }
        for (id, answer) in answers {
            match id % 2 {
                0 => of_doomed.push(answer),
                _ => of_kept.push(answer),
            }
        }
    }
    let deleted = deleting.expect("it was asked for").await;
    deleted.expect("an answer").expect(204);
    let seqs: Vec<_> = of_kept.iter().map(|ack| &ack["content"]["seq"]).collect();
    assert_eq!(seqs, (2..=EACH + 1).collect::<Vec<_>>());
    let acked = of_doomed.partition_point(|answer| answer["type"] == "ack");
    for refusal in &of_doomed[acked..] {
        let code = refusal["content"]["code"].as_str().expect("a code");
        let right = ["chat_not_found", "not_connected"].contains(&code);
        assert!(right, "{refusal}");
    }
    room.close().await;
}
