//! Request bodies: large, slow, cut off, endless.

use testkit::RawHttp;
use testkit::{Room, Store, apply, both_stores, rstest};

const LARGE: usize = 20 * 1024 * 1024;

/// The head of a request that makes a chat.
fn head(headers: &str) -> String {
    format!(
        "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n"
    )
}

async fn is_told_too_large(wire: &mut RawHttp) {
    let answer = wire.answer().await.expect("an answer");
    assert_eq!(answer.error(), (413, "too_large"));
    wire.ended().await;
}

#[apply(both_stores)]
async fn twenty_megabytes_get_their_413(store: Store) {
    let room = Room::open(store).await;
    // The first route reads its body. The other two requests are refused before their bodies are read.
    for (line, expected) in [
        ("POST /chat", (413, "too_large")),
        ("POST /nowhere", (404, "not_found")),
        ("DELETE /user", (405, "method_not_allowed")),
    ] {
        let mut wire = room.raw_http().await;
        let length = format!("Content-Length: {LARGE}\r\n");
        let head = head(&length).replace("POST /chat", line);
        assert!(wire.write(head.as_bytes()).await);
        // Simple clients write the whole body before they read an answer.
        assert!(wire.write(&vec![b' '; LARGE]).await, "{line}");
        let answer = wire.answer().await.expect("an answer");
        assert_eq!(answer.error(), expected);
        wire.ended().await;
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn twenty_megabytes_in_chunks_get_their_413(store: Store) {
    let room = Room::open(store).await;
    let mut wire = room.raw_http().await;
    wire.write(head("Transfer-Encoding: chunked\r\n").as_bytes())
        .await;
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
    for _ in 0..LARGE / (64 * 1024) {
        assert!(wire.write(chunk.as_bytes()).await);
    }
    wire.write(b"0\r\n\r\n").await;
    is_told_too_large(&mut wire).await;
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn who_asks_before_sending_is_told_at_once(store: Store) {
    let room = Room::open(store).await;
    let mut wire = room.raw_http().await;
    let headers = format!("Content-Length: {LARGE}\r\nExpect: 100-continue\r\n");
    wire.write(head(&headers).as_bytes()).await;
    is_told_too_large(&mut wire).await;
    room.close().await;
}

#[apply(both_stores)]
async fn who_asks_before_sending_what_is_right_may_send(store: Store) {
    let room = Room::open(store).await;
    let mut wire = room.raw_http().await;
    let body = r#"{"chatName":"random"}"#;
    let headers = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    wire.write(head(&headers).as_bytes()).await;
    assert!(
        wire.answer()
            .await
            .is_some_and(|answer| answer.status == 100)
    );
    wire.write(body.as_bytes()).await;
    assert!(
        wire.answer()
            .await
            .is_some_and(|answer| answer.status == 201)
    );
    room.close().await;
}

#[apply(both_stores)]
async fn a_body_without_end_is_cut_off(store: Store) {
    /// The bytes that the server discards after its answer, plus the socket buffers of both sides.
    const MOST: usize = 64 * 1024 * 1024;
    let room = Room::open(store).await;
    let mut wire = room.raw_http().await;
    wire.write(head("Transfer-Encoding: chunked\r\n").as_bytes())
        .await;
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
    let mut sent = 0;
    while wire.write(chunk.as_bytes()).await {
        sent += chunk.len();
        assert!(sent < MOST, "nobody stops it");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_body_that_comes_too_slowly_is_given_up(store: Store) {
    let room = Room::open_with(store, &["--request-seconds=3"]).await;
    let mut wire = room.raw_http().await;
    wire.write(head("Content-Length: 1000\r\n").as_bytes())
        .await;
    wire.write(br#"{"chatName":"#).await;
    let answer = wire.answer().await.expect("an answer");
    assert_eq!(answer.error(), (503, "unavailable"));
    wire.ended().await;
    assert_eq!(room.client.list("/chat").await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn a_body_that_is_cut_off_changes_nothing(store: Store) {
    let room = Room::open(store).await;
    for (headers, part) in [
        ("Content-Length: 22\r\n", r#"{"chatName":"random"}"#),
        (
            "Transfer-Encoding: chunked\r\n",
            "15\r\n{\"chatName\":\"random\"}\r\n",
        ),
        ("Transfer-Encoding: chunked\r\n", "15\r\n{\"chatName\""),
    ] {
        let mut wire = room.raw_http().await;
        wire.write(head(headers).as_bytes()).await;
        wire.write(part.as_bytes()).await;
        wire.finish().await;
        // The client is gone. An answer is optional, but no chat may be created.
        let answer = wire.answer().await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{part}");
    }
    assert_eq!(room.client.list("/chat").await.len(), 1);
    room.still_serves().await;
    room.close().await;
}
