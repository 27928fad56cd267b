//! A socket that sends too fast.

use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_socket_that_sends_too_fast_is_told_so(store: Store) {
    let flags = [
        "--rate-limit=on",
        "--frames-per-second=1",
        "--burst-seconds=20",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.enter(room.carl).await;
    let mut calm = room.enter(room.sigmund).await;
    let refusal = loop {
        let frame = json!({ "type": "dance", "id": 7 });
        socket.send(frame).await;
        let mut frames = socket.frames_until(|frame| frame["id"] == 7).await;
        let error = frames.pop().expect("an answer");
        match error["content"]["code"].as_str() {
            Some("unknown_type") => {}
            _ => break error,
        }
    };
    assert_eq!(refusal["type"], "error");
    let content = &refusal["content"];
    assert_eq!(content["code"], "rate_limited", "{refusal}");
    assert!(
        content["retryAfterMs"]
            .as_u64()
            .is_some_and(|wait| (1..=1000).contains(&wait))
    );
    assert!(
        content["error"]
            .as_str()
            .is_some_and(|sentence| sentence.len() > 10)
    );
    // Each socket has a pace of its own.
    calm.say(room.chat, "I have time.").await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_that_goes_on_regardless_is_held_back_and_loses_nothing(store: Store) {
    const FRAMES: usize = 1000;
    let flags = [
        "--rate-limit=on",
        "--frames-per-second=300",
        "--burst-seconds=1",
        "--messages-per-second=1000",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.enter(room.carl).await;
    for id in 0..FRAMES {
        socket.send(json!({ "type": "dance", "id": id })).await;
    }
    let (mut told, mut done) = (0, 0);
    for id in 0..FRAMES {
        let answer = socket.expect("error").await;
        assert_eq!(answer["id"], id, "each is answered once, in order");
        match answer["content"]["code"].as_str() {
            Some("rate_limited") => told += 1,
            Some("unknown_type") => done += 1,
            other => panic!("{other:?}"),
        }
    }
    // Beyond what it is told, it waits; nothing is dropped without a word.
    assert_eq!((told, done), (100, FRAMES - 100));
    socket.say(room.chat, "At last.").await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_without_a_chat_is_held_to_its_pace_too(store: Store) {
    let flags = [
        "--rate-limit=on",
        "--frames-per-second=1",
        "--burst-seconds=5",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.server.socket().await;
    for id in 0..50 {
        socket
            .send(json!({ "type": "leave-chat", "content": 1, "id": id }))
            .await;
    }
    let mut codes: Vec<Value> = Vec::new();
    for id in 0..50 {
        let error = socket.expect("error").await;
        assert_eq!(error["id"], id);
        codes.push(error["content"]["code"].clone());
    }
    assert_eq!(codes[0], "not_connected");
    let told = codes.iter().filter(|code| **code == "rate_limited").count();
    assert!(told > 30, "{codes:?}");
    room.close().await;
}

#[apply(both_stores)]
async fn pings_are_counted(store: Store) {
    use tokio_tungstenite::tungstenite::Message;
    let flags = [
        "--rate-limit=on",
        "--frames-per-second=200",
        "--burst-seconds=1",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.enter(room.carl).await;
    let begin = std::time::Instant::now();
    for n in 0..500_u32 {
        socket
            .send_raw(Message::Ping(n.to_be_bytes().to_vec().into()))
            .await;
    }
    let content = json!({ "chatId": room.chat, "content": "After all of them." });
    socket
        .send(json!({ "type": "send-message", "id": 1, "content": content }))
        .await;
    let frames = socket.frames_until(|frame| frame["id"] == 1).await;
    // It too is over the pace where it is read with the last ping.
    let answer = frames.last().expect("an answer");
    let told = answer["content"]["code"] == "rate_limited";
    assert!(told || answer["type"] == "ack", "{frames:?}");
    // 500 pings at 200 a second, of which 200 at once.
    assert!(begin.elapsed().as_secs_f64() > 1.2, "{:?}", begin.elapsed());
    room.close().await;
}
