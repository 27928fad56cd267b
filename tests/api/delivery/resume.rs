//! Reconnection with `since`.

use serde_json::{Value, json};
use testkit::{Room, Socket, Store, apply, both_stores, change, number, rstest};

#[apply(both_stores)]
async fn who_was_away_gets_every_change_in_its_present_state(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut ids = Vec::new();
    for text in ["kept", "edited", "deleted"] {
        ids.push(carl.say(room.chat, text).await["messageId"].clone());
    }
    // Away since 3: one edit, one deletion, and two new messages, one of them changed since.
    let edit =
        |id: &Value, text: &str| json!({ "messageId": id, "chatId": room.chat, "content": text });
    carl.ask("update-message", edit(&ids[1], "edited once"))
        .await;
    let fresh = carl.say(room.chat, "new").await["messageId"].clone();
    carl.ask("delete-message", ids[2].clone()).await;
    let changed = carl.say(room.chat, "new and edited").await["messageId"].clone();
    carl.ask("update-message", edit(&ids[1], "edited twice"))
        .await;
    let gone = carl.say(room.chat, "new and gone").await["messageId"].clone();
    carl.ask("delete-message", gone.clone()).await;
    carl.ask("update-message", edit(&changed, "changed")).await;

    let (_socket, frames, ack) = room.resume(room.sigmund, 3).await;
    let seen: Vec<(Value, Value, i64)> = frames
        .iter()
        .map(|frame| {
            let id = match frame["type"] == "delete-message" {
                true => frame["content"].clone(),
                false => frame["content"]["messageId"].clone(),
            };
            (frame["type"].clone(), id, change(frame).expect("a change"))
        })
        .collect();
    let expected = [
        (json!("send-message"), fresh, 5),
        (json!("delete-message"), ids[2].clone(), 6),
        (json!("update-message"), ids[1].clone(), 8),
        (json!("delete-message"), gone, 10),
        (json!("send-message"), changed, 11),
    ];
    assert_eq!(seen, expected);
    assert!(frames.iter().all(|frame| frame["replay"] == true));
    assert_eq!(frames[2]["content"]["content"], "edited twice");
    assert_eq!(frames[4]["content"]["content"], "changed");
    assert_eq!(frames[1]["customerId"], room.carl, "who deleted");
    assert_eq!((&ack["seq"], ack.get("truncated")), (&json!(11), None));
    room.close().await;
}

#[apply(both_stores)]
async fn since_the_head_replays_nothing(store: Store) {
    let room = Room::of_members(store).await;
    room.say("seen before").await;
    let (_socket, frames, ack) = room.resume(room.sigmund, 1).await;
    assert!(frames.is_empty(), "{frames:?}");
    assert_eq!(ack["seq"], 1);
    room.close().await;
}

#[apply(both_stores)]
async fn since_0_replays_the_whole_history(store: Store) {
    let room = Room::of_members(store).await;
    for text in ["one", "two", "three"] {
        room.say(text).await;
    }
    let (_socket, frames, _) = room.resume(room.sigmund, 0).await;
    let contents: Vec<Value> = frames
        .iter()
        .map(|frame| frame["content"].clone())
        .collect();
    assert_eq!(contents, room.history().await);
    assert!(frames.iter().all(|frame| frame["type"] == "send-message"));
    room.close().await;
}

#[apply(both_stores)]
async fn since_beyond_the_head_is_refused(store: Store) {
    let room = Room::open(store).await;
    room.say("the first").await;
    let mut socket = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat, "since": 2 });
    socket
        .refused("connect-chat", content, "invalid_field")
        .await;
    let text = json!({ "chatId": room.chat, "content": "x" });
    socket.refused("send-message", text, "not_connected").await;
    let path = format!("/chat/user/{}/chat/{}/access", room.carl, room.chat);
    let access = room.client.get(&path).await.expect(200);
    assert_eq!(access["hasAccess"], false, "it has made nobody a member");
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_that_resumed_is_live_without_hole_or_double(store: Store) {
    let room = Room::of_members(store).await;
    for text in ["one", "two", "three"] {
        room.say(text).await;
    }
    let (mut socket, frames, ack) = room.resume(room.sigmund, 1).await;
    assert_eq!(frames.iter().filter_map(change).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(ack["seq"], 3);
    for seq in 4..=6 {
        room.say("live").await;
        let frame = socket.until("send-message").await;
        assert_eq!((change(&frame), frame.get("replay")), (Some(seq), None));
    }
    room.close().await;
}

#[apply(both_stores)]
async fn resuming_while_others_send_has_no_hole_and_no_double(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let chat = room.chat;
    let texts: Vec<String> = (1..=300).map(|n| n.to_string()).collect();
    let sending = tokio::spawn(async move { carl.say_all(chat, &texts).await });
    let mut since = 0;
    while since < 300 {
        let (mut socket, mut frames, ack) = room.resume(room.sigmund, since).await;
        // Live for a while, then away again.
        let until = (number(&ack, "seq") + 10).min(300);
        let reached = |frame: &Value| change(frame).is_some_and(|seq| seq >= until);
        if !frames.iter().any(reached) {
            frames.extend(socket.frames_until(reached).await);
        }
        for seq in frames.iter().filter_map(change) {
            assert_eq!(seq, since + 1);
            since = seq;
        }
    }
    sending.await.expect("300 messages");
    room.close().await;
}

#[apply(both_stores)]
async fn over_1000_messages_the_ack_alone_comes_and_rest_pages_the_rest(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let texts: Vec<String> = (1..=1002).map(|n| n.to_string()).collect();
    carl.say_all(room.chat, &texts).await;
    let (mut socket, frames, ack) = room.resume(room.sigmund, 1).await;
    assert!(frames.is_empty(), "{} frames", frames.len());
    assert_eq!(
        (&ack["truncated"], &ack["seq"]),
        (&json!(true), &json!(1002))
    );
    room.say("live").await;
    let live = socket.until("send-message").await;
    assert_eq!((change(&live), live.get("replay")), (Some(1003), None));

    let (mut paged, mut since) = (Vec::new(), 1);
    while since < 1002 {
        let path = format!("/chat/{}/message?since={since}&limit=400", room.chat);
        let page = room.client.get(&path).await.expect(200);
        paged.extend(page.as_array().expect("a list").iter().cloned());
        since = number(paged.last().expect("more"), "seq");
    }
    let seqs: Vec<i64> = paged.iter().map(|message| number(message, "seq")).collect();
    assert_eq!(seqs, (2..=1003).collect::<Vec<i64>>());
    room.close().await;
}

#[apply(both_stores)]
async fn a_history_of_1000_messages_is_replayed(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    let texts: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    carl.say_all(room.chat, &texts).await;
    let (_socket, frames, ack) = room.resume(room.sigmund, 0).await;
    let seqs: Vec<i64> = frames.iter().filter_map(change).collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<i64>>());
    assert_eq!(ack.get("truncated"), None);
    room.close().await;
}

#[apply(both_stores)]
async fn many_changes_of_few_messages_are_replayed(store: Store) {
    let room = Room::of_members(store).await;
    let mut carl = room.enter(room.carl).await;
    carl.say(room.chat, "the first draft").await;
    let mut head = 1;
    while head < 1100 {
        let edit = |n: i64| json!({ "chatId": room.chat, "content": format!("{head} {n}") });
        for n in 0..50 {
            carl.send(json!({ "type": "update-message", "id": n, "content": edit(n) }))
                .await;
        }
        // A slow disk may refuse some of the edits. Only their number matters.
        for n in 0..50 {
            head = answer(&mut carl, &json!(n)).await.unwrap_or(head);
        }
    }
    let last = json!({ "chatId": room.chat, "content": "the last draft" });
    let seq = loop {
        carl.send(json!({ "type": "update-message", "id": "last", "content": last }))
            .await;
        if let Some(seq) = answer(&mut carl, &json!("last")).await {
            break seq;
        }
    };
    let (_socket, frames, ack) = room.resume(room.sigmund, 1).await;
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0]["type"], "update-message");
    assert_eq!(frames[0]["content"]["content"], "the last draft");
    assert_eq!((&ack["seq"], ack.get("truncated")), (&json!(seq), None));
    assert!(seq > 1100);
    room.close().await;
}

/// The seq that the change with this id was acknowledged with; none if it was refused for now.
async fn answer(socket: &mut Socket, id: &Value) -> Option<i64> {
    let frames = socket.frames_until(|frame| frame["id"] == *id).await;
    let answer = &frames[frames.len() - 1]["content"];
    match answer["code"].as_str() {
        None => answer["seq"].as_i64(),
        code => {
            assert_eq!(code, Some("unavailable"), "{answer}");
            None
        }
    }
}

#[apply(both_stores)]
async fn a_socket_that_is_connected_may_resume_again(store: Store) {
    let room = Room::open(store).await;
    room.say("one").await;
    room.say("two").await;
    let mut socket = room.enter(room.sigmund).await;
    let content = json!({ "customerId": room.sigmund, "chatId": room.chat, "since": 1 });
    socket
        .send(json!({ "type": "connect-chat", "id": 1, "content": content }))
        .await;
    let replayed = socket.expect("send-message").await;
    assert_eq!(
        (change(&replayed), &replayed["replay"]),
        (Some(2), &json!(true))
    );
    room.close().await;
}
