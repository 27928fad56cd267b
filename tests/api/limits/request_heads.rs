//! Request heads: slow, large, many.

use std::fmt::Write;
use testkit::{Room, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_head_that_does_not_come_ends_the_connection(store: Store) {
    let room = Room::open_with(store, &["--handshake-seconds=0.3"]).await;
    let mut slow = Vec::new();
    for part in [
        "",
        "G",
        "GET /chat HTTP/1.1\r\nHost: loc",
        "GET /ws HTTP/1.1\r\nUpgrade: webs",
    ] {
        let mut wire = room.raw_http().await;
        wire.write(part.as_bytes()).await;
        slow.push(wire);
    }
    // One that was answered before is held to it as well.
    let mut wire = room.raw_http().await;
    assert!(
        wire.ask("GET /chat", "")
            .await
            .is_some_and(|answer| answer.status == 200)
    );
    wire.write(b"GET /chat HTT").await;
    slow.push(wire);
    for mut wire in slow {
        wire.ended().await;
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_url_over_its_limit_is_told_414(store: Store) {
    let room = Room::open(store).await;
    for (length, expected) in [
        (24 * 1024, (404, "not_found")),
        (24 * 1024 + 1, (414, "too_large")),
        (60_000, (414, "too_large")),
        // Over twice the head's limit HTTP itself answers.
        (66_000, (414, "")),
        (1_000_000, (431, "")),
    ] {
        let mut wire = room.raw_http().await;
        let path = "x".repeat(length - 1);
        let answer = wire
            .ask(&format!("GET /{path}"), "")
            .await
            .expect("an answer");
        assert_eq!(answer.error(), expected, "{length}");
        if answer.status != 404 {
            wire.ended().await;
        }
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_head_over_its_limit_is_told_431(store: Store) {
    let room = Room::open(store).await;
    for (length, expected) in [
        (30 * 1024, (200, "")),
        (33 * 1024, (431, "too_large")),
        (60 * 1024, (431, "too_large")),
        (200 * 1024, (431, "")),
        (5_000_000, (431, "")),
    ] {
        let mut wire = room.raw_http().await;
        let header = format!("X-Long: {}\r\n", "x".repeat(length));
        let answer = wire.ask("GET /chat", &header).await.expect("an answer");
        assert_eq!(answer.error(), expected, "{length}");
        if answer.status != 200 {
            wire.ended().await;
        }
    }
    room.still_serves().await;
    room.close().await;
}

/// So many headers, with the host's own.
fn headers(count: usize) -> String {
    (1..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "X-{n}: {n}\r\n");
        text
    })
}

#[apply(both_stores)]
async fn too_many_headers_are_told_431(store: Store) {
    let room = Room::open(store).await;
    for (count, expected) in [
        (100, (200, "")),
        (101, (431, "too_large")),
        (200, (431, "too_large")),
        (201, (431, "")),
        (100_000, (431, "")),
    ] {
        let mut wire = room.raw_http().await;
        let answer = wire
            .ask("GET /chat", &headers(count))
            .await
            .expect("an answer");
        assert_eq!(answer.error(), expected, "{count}");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn limits_of_heads_can_be_set(store: Store) {
    let flags = [
        "--max-url-bytes=1024",
        "--max-head-bytes=8192",
        "--max-headers=16",
    ];
    let room = Room::open_with(store, &flags).await;
    let ask = async |line: &str, headers: &str| {
        let answer = room.raw_http().await.ask(line, headers).await;
        answer.expect("an answer").status
    };
    assert_eq!(ask("GET /chat", "").await, 200);
    assert_eq!(ask(&format!("GET /{}", "x".repeat(1024)), "").await, 414);
    assert_eq!(
        ask("GET /chat", &format!("X-Long: {}\r\n", "x".repeat(8192))).await,
        431
    );
    assert_eq!(ask("GET /chat", &headers(17)).await, 431);
    room.close().await;
}

#[apply(both_stores)]
async fn many_requests_at_once_are_answered_in_order(store: Store) {
    const REQUESTS: usize = 500;
    let room = Room::open(store).await;
    let mut wire = room.raw_http().await;
    let all = (0..REQUESTS).fold(String::new(), |mut text, n| {
        let path = if n % 2 == 0 { "/chat" } else { "/nowhere" };
        let _ = write!(
            text,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {n}\r\n\r\n"
        );
        text
    });
    assert!(wire.write(all.as_bytes()).await);
    for n in 0..REQUESTS {
        let answer = wire.answer().await.expect("an answer");
        assert_eq!(answer.header("x-request-id"), n.to_string());
        assert_eq!(answer.status, if n % 2 == 0 { 200 } else { 404 });
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_name_with_a_nul_is_refused(store: Store) {
    let room = Room::open(store).await;
    for (line, expected) in [
        ("GET /user/username/a%00b", (400, "invalid_field")),
        ("GET /chat/1/message?q=a%00b", (400, "invalid_field")),
        ("GET /chat/%00", (400, "invalid_field")),
        ("GET /%00", (404, "not_found")),
    ] {
        let answer = room
            .raw_http()
            .await
            .ask(line, "")
            .await
            .expect("an answer");
        assert_eq!(answer.error(), expected, "{line}");
    }
    room.close().await;
}
