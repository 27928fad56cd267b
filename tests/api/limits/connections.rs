//! Numbers of connections and sockets.

use serde_json::json;
use std::net::Ipv4Addr;
use testkit::RawHttp;
use testkit::{Room, Socket, Store, apply, both_stores, patiently, rstest};

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Asks on new connections until one is served.
async fn served_again(room: &Room, source: Ipv4Addr) {
    let asking = async {
        loop {
            let mut wire = RawHttp::open_from(source, room.server.address).await;
            if wire
                .ask("GET /chat", "")
                .await
                .is_some_and(|answer| answer.status == 200)
            {
                return;
            }
        }
    };
    patiently("room", asking).await;
}

#[apply(both_stores)]
async fn an_address_has_so_many_connections(store: Store) {
    let flags = ["--rate-limit=on", "--max-connections-per-address=3"];
    let room = Room::open_with(store, &flags).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = RawHttp::open_from(ELSEWHERE, room.server.address).await;
        // Answered, so that it is counted.
        assert_eq!(
            wire.ask("GET /chat", "").await.expect("an answer").status,
            200
        );
        held.push(wire);
    }
    for line in ["GET /chat", "POST /chat", "GET /health/live"] {
        let mut wire = RawHttp::open_from(ELSEWHERE, room.server.address).await;
        let answer = wire.ask(line, "").await.expect("an answer");
        assert_eq!(answer.error(), (429, "rate_limited"), "{line}");
        assert!(answer.body["retryAfterMs"].is_u64() && !answer.header("retry-after").is_empty());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        wire.ended().await;
    }
    // Others are not held to it, and those that are open go on.
    room.still_serves().await;
    assert_eq!(
        held[0]
            .ask("GET /chat", "")
            .await
            .expect("an answer")
            .status,
        200
    );
    drop(held.pop());
    served_again(&room, ELSEWHERE).await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_full_server_says_so(store: Store) {
    let room = Room::open_with(store, &["--max-connections=5"]).await;
    let mut held: Vec<RawHttp> = Vec::new();
    let refused = loop {
        let mut wire = room.raw_http().await;
        let answer = wire.ask("GET /chat", "").await.expect("an answer");
        match answer.status {
            200 => held.push(wire),
            _ => break answer,
        }
    };
    assert_eq!(refused.error(), (503, "unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    assert!((1..=5).contains(&held.len()), "{}", held.len());
    // However many come, those that are open are served.
    let mut crowd = Vec::new();
    for _ in 0..1000 {
        crowd.push(room.raw_http().await);
    }
    assert_eq!(
        held[0]
            .ask("GET /chat", "")
            .await
            .expect("an answer")
            .status,
        200
    );
    drop((crowd, held));
    served_again(&room, Ipv4Addr::LOCALHOST).await;
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_user_has_so_many_sockets(store: Store) {
    let flags = ["--rate-limit=on", "--max-sockets-per-user=2"];
    let room = Room::open_with(store, &flags).await;
    let (first, _second) = (room.enter(room.carl).await, room.enter(room.carl).await);
    let mut third: Socket = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat });
    let frame = json!({ "type": "connect-chat", "id": 1, "content": content });
    third.send(frame.clone()).await;
    let error = third.expect_error("rate_limited").await;
    assert!(error["content"]["retryAfterMs"].is_u64(), "{error}");
    assert_eq!(error["id"], 1);
    room.still_serves().await;
    // One that closes makes room; a refused socket may try again.
    first.close().await;
    let again = async {
        loop {
            third.send(frame.clone()).await;
            let frames = third.frames_until(|frame| frame["id"] == 1).await;
            if frames.last().is_some_and(|answer| answer["type"] == "ack") {
                return;
            }
        }
    };
    patiently("room", again).await;
    room.close().await;
}

#[apply(both_stores)]
async fn without_a_limit_there_is_none(store: Store) {
    let flags = [
        "--max-connections-per-address=1",
        "--max-sockets-per-user=1",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(room.enter(room.carl).await);
    }
    assert_eq!(sockets.len(), 5);
    room.still_serves().await;
    room.close().await;
}
