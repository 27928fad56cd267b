//! Rates of requests by address, and of messages by user.

use serde_json::json;
use std::{fmt::Write, net::Ipv4Addr};
use testkit::RawHttp;
use testkit::{Process, Reply, Room, Store, apply, both_stores, patiently, rstest};

/// Setting up a room takes four requests.
const FEW_REQUESTS: [&str; 3] = [
    "--rate-limit=on",
    "--requests-per-second=1",
    "--burst-seconds=10",
];

/// An answer that says 429 as the contract has it; gives the milliseconds to wait.
#[track_caller]
fn too_fast(reply: Reply) -> u64 {
    let retry_after: u64 = reply.header("retry-after").parse().expect("whole seconds");
    let body = reply.expect_error(429, "rate_limited");
    let wait = body["retryAfterMs"].as_u64().expect("milliseconds");
    assert!(
        wait > 0 && retry_after == wait.div_ceil(1000),
        "{retry_after} s, {wait} ms"
    );
    wait
}

#[apply(both_stores)]
async fn an_address_that_asks_too_fast_is_told_how_long_to_wait(store: Store) {
    let room = Room::open_with(store, &FEW_REQUESTS).await;
    let refused = async {
        loop {
            let reply = room.client.get("/chat").await;
            if reply.status != 200 {
                return reply;
            }
        }
    };
    let wait = too_fast(patiently("a refusal", refused).await);
    assert!(wait <= 1000, "{wait}");
    // The upgrade is a request too, and other addresses have a bucket of their own.
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = room.raw_http().await.ask("GET /ws", upgrade).await;
    assert_eq!(answer.expect("an answer").error(), (429, "rate_limited"));
    let mut other = RawHttp::open_from(Ipv4Addr::new(127, 0, 0, 2), room.server.address).await;
    assert_eq!(
        other
            .ask("GET /ws", upgrade)
            .await
            .expect("an answer")
            .status,
        101
    );
    // The bucket fills again.
    let served = async { while room.client.get("/chat").await.status != 200 {} };
    patiently("the bucket to fill", served).await;
    room.close().await;
}

#[apply(both_stores)]
async fn health_is_always_told(store: Store) {
    let room = Room::open_with(store, &FEW_REQUESTS).await;
    for _ in 0..30 {
        room.client.get("/health/live").await.expect(200);
        room.client.get("/health/ready").await.expect(200);
    }
    room.close().await;
}

#[apply(both_stores)]
async fn messages_of_a_user_are_counted_over_rest_and_sockets_together(store: Store) {
    let flags = [
        "--rate-limit=on",
        "--messages-per-second=1",
        "--burst-seconds=5",
    ];
    let room = Room::open_with(store, &flags).await;
    let mut socket = room.enter(room.carl).await;
    let path = format!("/chat/{}/message", room.chat);
    let body = json!({ "customerId": room.carl, "content": "Again!" });
    // Each second gives one back, so the sixth in a row may pass, the hundredth does not.
    let refused = async {
        loop {
            let reply = room.client.post(&path, body.clone()).await;
            if reply.status != 201 {
                return reply;
            }
        }
    };
    too_fast(patiently("a refusal", refused).await);
    let content = json!({ "chatId": room.chat, "content": "Again, elsewhere!" });
    // As long as one second lasts: one of two in a row is refused.
    let frame = json!({ "type": "send-message", "id": "x", "content": content });
    let mut refusal = None;
    while refusal.is_none() {
        socket.send(frame.clone()).await;
        let mut frames = socket.frames_until(|frame| frame["id"] == "x").await;
        refusal = frames.pop().filter(|frame| frame["type"] == "error");
    }
    let answer = &refusal.expect("an error")["content"];
    assert_eq!(answer["code"], "rate_limited", "{answer}");
    assert!(
        answer["retryAfterMs"]
            .as_u64()
            .is_some_and(|wait| (1..=1000).contains(&wait))
    );
    // Its bucket is the very same: over REST it is empty too, and nothing more is stored.
    let before = room.history().await.len();
    let reply = room.client.post(&path, body.clone()).await;
    let stored = room.history().await.len() - before;
    assert_eq!(stored, usize::from(reply.status == 201), "{reply:?}");
    // Others have a bucket of their own.
    room.client.say(room.sigmund, room.chat, "Calm down.").await;
    room.close().await;
}

/// Whether so many requests at once are too fast for a server with these settings.
async fn limits_by_itself(settings: &[(&str, &str)]) -> bool {
    /// More than the default bucket holds, refilled for a second.
    const REQUESTS: usize = 3000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = Process::start(folder.path(), settings).await;
    let mut wire = RawHttp::open(([127, 0, 0, 1], process.address.port()).into()).await;
    let mut limited = false;
    for _ in 0..REQUESTS / 100 {
        let requests = (0..100).fold(String::new(), |mut text, _| {
            let _ = write!(text, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
            text
        });
        wire.write(requests.as_bytes()).await;
        for _ in 0..100 {
            limited |= wire.answer().await.expect("an answer").status == 429;
        }
    }
    limited
}

#[tokio::test]
async fn a_developers_own_machine_is_not_limited() {
    assert!(!limits_by_itself(&[]).await);
}

#[tokio::test]
async fn a_server_that_others_reach_is_limited_unless_said_otherwise() {
    let reached = [("HOST", "0.0.0.0"), ("AUTH", "open")];
    assert!(limits_by_itself(&reached).await);
    let said = [("HOST", "0.0.0.0"), ("AUTH", "open"), ("RATE_LIMIT", "off")];
    assert!(!limits_by_itself(&said).await);
}
