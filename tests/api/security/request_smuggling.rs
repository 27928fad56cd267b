//! Requests that two servers in a row might read differently, and bytes that are not HTTP.

use testkit::{Room, Store, apply, both_stores, rstest};

/// Heads after the request's line, the bytes after them, and what the first answer is. 0: none.
const TWO_WAYS: &[(&str, &str, u16)] = &[
    ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!", 400),
    ("Content-Length: 5, 6\r\n", "hello!", 400),
    ("Content-Length: 5, 5\r\n", "hello", 400),
    ("Content-Length: -1\r\n", "", 400),
    ("Content-Length: +5\r\n", "hello", 400),
    ("Content-Length: 0x5\r\n", "hello", 400),
    ("Content-Length: 5 5\r\n", "hello", 400),
    ("Content-Length: \r\n", "hello", 400),
    ("Content-Length: 99999999999999999999\r\n", "hello", 400),
    ("Content-Length : 5\r\n", "hello", 400),
    ("Transfer-Encoding: identity\r\n", "hello", 400),
    ("Transfer-Encoding: gzip\r\n", "hello", 400),
    ("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n", 400),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "0\r\n\r\n",
        400,
    ),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n", 400),
    ("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("X: a\0b\r\n", "", 400),
    ("X\0: a\r\n", "", 400),
    (": a\r\n", "", 400),
    ("X y: a\r\n", "", 400),
];

#[apply(both_stores)]
async fn a_request_that_can_be_read_in_two_ways_is_refused(store: Store) {
    let room = Room::open(store).await;
    for (headers, rest, expected) in TWO_WAYS {
        let mut wire = room.raw_http().await;
        // What follows would be a second request to who reads it otherwise.
        let second = "POST /chat HTTP/1.1\r\nHost: localhost\r\n\
                      Content-Type: application/json\r\nContent-Length: 23\r\n\r\n\
                      {\"chatName\":\"smuggled\"}";
        let request =
            format!("POST /chat HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{rest}{second}");
        wire.write(request.as_bytes()).await;
        let status = wire.answer().await.map_or(0, |answer| answer.status);
        assert_eq!(status, *expected, "{headers:?}");
        wire.ended().await;
    }
    assert_eq!(
        room.client.list("/chat").await.len(),
        1,
        "nothing was smuggled"
    );
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_length_beside_chunks_counts_for_nothing(store: Store) {
    let room = Room::open(store).await;
    let body = r#"{"chatName":"random"}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4000\r\n",
    ] {
        let mut wire = room.raw_http().await;
        let request = format!(
            "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             {headers}\r\n{chunks}GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        wire.write(request.as_bytes()).await;
        let answer = wire.answer().await.expect("an answer");
        assert_eq!(
            (answer.status, &answer.body["chatName"]),
            (201, &"random".into())
        );
        // Who stands between may have seen another end: the connection is not used again.
        wire.ended().await;
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_host_is_given_exactly_once(store: Store) {
    let room = Room::open(store).await;
    for (hosts, expected) in [
        ("Host: localhost\r\n", 200),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: localhost\r\nHost: evil.example\r\n", 400),
    ] {
        let mut wire = room.raw_http().await;
        wire.write(format!("GET /chat HTTP/1.1\r\n{hosts}\r\n").as_bytes())
            .await;
        let answer = wire.answer().await.expect("an answer");
        assert_eq!(answer.status, expected, "{hosts:?}");
        if expected == 400 {
            assert_eq!(answer.error(), (400, "invalid_field"), "{hosts:?}");
            wire.ended().await;
        }
    }
    room.close().await;
}

#[apply(both_stores)]
async fn what_is_no_http_is_refused(store: Store) {
    let room = Room::open(store).await;
    let hello = [
        0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n',
    ];
    for (bytes, expected) in [
        (b"hello\r\n\r\n".as_slice(), 400),
        (b"GET /chat\r\n\r\n", 400),
        (b"GET /chat HTTP/0.9\r\n\r\n", 400),
        (b"GET /chat HTTP/2.0\r\n\r\n", 400),
        (b"GET  /chat HTTP/1.1\r\n\r\n", 400),
        (b"GET /ch at HTTP/1.1\r\n\r\n", 400),
        (b"GET /\0 HTTP/1.1\r\n\r\n", 400),
        (b"G\0T /chat HTTP/1.1\r\n\r\n", 400),
        (b"GET chat HTTP/1.1\r\n\r\n", 400),
        (b"\0\0\0\0\r\n\r\n", 400),
        (&hello, 400),
        (b"\xff\xfe GET / HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
    ] {
        let mut wire = room.raw_http().await;
        wire.write(bytes).await;
        let status = wire.answer().await.map_or(0, |answer| answer.status);
        assert_eq!(status, expected, "{:?}", String::from_utf8_lossy(bytes));
        wire.ended().await;
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn other_forms_of_a_target_change_nothing(store: Store) {
    let room = Room::open(store).await;
    for (line, expected) in [
        ("GET http://evil.example/chat", 200),
        ("GET //evil.example/chat", 404),
        ("GET /../../etc/passwd", 404),
        ("GET /chat/../user", 404),
        ("GET /%2e%2e/chat", 404),
        ("CONNECT evil.example:443", 404),
        ("OPTIONS *", 200),
        ("TRACE /chat", 405),
        ("FROBNICATE /chat", 405),
        ("get /chat", 405),
    ] {
        let answer = room
            .raw_http()
            .await
            .ask(line, "")
            .await
            .expect("an answer");
        assert_eq!(answer.status, expected, "{line}");
    }
    room.still_serves().await;
    room.close().await;
}
