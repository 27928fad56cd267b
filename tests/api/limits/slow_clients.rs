//! Clients that send byte by byte, and clients that read nothing: neither holds the server for
//! long.

use std::time::Duration;
use testkit::{Room, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    select,
    time::interval,
};

/// From one drop to the next: far less than any limit, which only the whole can meet.
const DROP: Duration = Duration::from_millis(20);

/// Sends a byte now and then until the connection ends; gives what was answered.
async fn drip(stream: &mut TcpStream, byte: u8) -> String {
    let mut drops = interval(DROP);
    let mut answer = Vec::new();
    let dripping = async {
        loop {
            select! {
                read = stream.read_buf(&mut answer) => match read {
                    Ok(read) if read > 0 => {}
                    _ => return,
                },
                _ = drops.tick() => if stream.write_all(&[byte]).await.is_err() { return },
            }
        }
    };
    patiently("an end to the drops", dripping).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[apply(both_stores)]
async fn a_head_by_the_drop_ends_the_connection(store: Store) {
    let room = Room::open_with(store, &["--handshake-seconds=0.5"]).await;
    for head in [
        "",
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nX: ",
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: ",
    ] {
        let stream = TcpStream::connect(room.server.address).await;
        let mut stream = stream.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("room");
        let answer = drip(&mut stream, b'a').await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_body_by_the_drop_is_given_up(store: Store) {
    let room = Room::open_with(store, &["--request-seconds=1"]).await;
    for framing in [
        "Content-Length: 100000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
    ] {
        let stream = TcpStream::connect(room.server.address).await;
        let mut stream = stream.expect("a connection");
        let head = format!(
            "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}"
        );
        stream.write_all(head.as_bytes()).await.expect("room");
        let answer = drip(&mut stream, b' ').await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn who_takes_no_answer_is_left(store: Store) {
    let room = Room::open_with(store, &["--write-seconds=0.5"]).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    // Little, so that the server notices soon.
    socket
        .set_recv_buffer_size(8 * 1024)
        .expect("a small buffer");
    let mut stream = socket
        .connect(room.server.address)
        .await
        .expect("a connection");
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let asking = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    patiently("the server to leave", asking).await;
    room.still_serves().await;
    let mut another = room.raw_http().await;
    let answer = another.ask("GET /chat", "").await;
    assert_eq!(answer.expect("an answer").status, 200);
    room.close().await;
}
