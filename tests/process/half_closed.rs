//! Clients that say what they have to say, send no more, and read on: `printf … | nc -N`.

use serde_json::{Value, json};
use std::net::SocketAddr;
use testkit::{RawSocket, Room, Store, apply, both_stores, masked, patiently, rstest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends it all, ends the output, and reads to the end.
async fn netcat(address: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(input).await.expect("room to write");
    stream.shutdown().await.expect("an open connection");
    let mut output = Vec::new();
    patiently("the end of the answer", stream.read_to_end(&mut output))
        .await
        .expect("an answer");
    output
}

#[apply(both_stores)]
async fn a_request_is_answered_after_its_client_has_sent_all(store: Store) {
    let room = Room::open(store).await;
    let address = room.server.address;
    // Signing up takes a hash: the end of the input is there long before the answer.
    let body = json!({ "username": "dora", "password": "correct horse battery" }).to_string();
    let sign_up = format!(
        "POST /user HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(netcat(address, sign_up.as_bytes()).await).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.contains("\"dora\""), "{answer}");
    let one = format!(
        "GET /user/{} HTTP/1.1\r\nHost: {address}\r\n\r\n",
        room.carl
    );
    let answers =
        String::from_utf8(netcat(address, one.repeat(3).as_bytes()).await).expect("UTF-8");
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_is_answered_after_its_client_has_sent_all(store: Store) {
    let room = Room::open(store).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    // All in one piece, so that the end is there with the first of them.
    let mut frames = Vec::new();
    for n in 0..20 {
        let content = json!({ "chatId": room.chat, "content": "Hello." });
        let frame = json!({ "type": "send-message", "id": format!("m{n}"), "content": content });
        frames.extend(masked(0x81, frame.to_string().as_bytes()));
    }
    wire.write(&frames).await;
    wire.finish().await;
    let mut acknowledged = Vec::new();
    let code = loop {
        match wire.next().await {
            Some((0x81, text)) => {
                let frame: Value = serde_json::from_slice(&text).expect("JSON");
                if frame["type"] == "ack" {
                    acknowledged.push(frame["id"].clone());
                }
            }
            Some((0x88, payload)) => break u16::from_be_bytes([payload[0], payload[1]]),
            Some(_) => {}
            None => break 1006,
        }
    };
    let expected: Vec<Value> = (0..20).map(|n| json!(format!("m{n}"))).collect();
    assert_eq!(acknowledged, expected);
    assert_eq!(code, 1000);
    assert_eq!(room.history().await.len(), 20);
    room.close().await;
}

/// The upgrade and every frame in one piece, as a script pipes them.
#[apply(both_stores)]
async fn a_whole_conversation_may_come_at_once(store: Store) {
    let room = Room::open(store).await;
    let address = room.server.address;
    let mut input = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    let connect = json!({ "customerId": room.carl, "chatId": room.chat });
    let send = json!({ "chatId": room.chat, "content": "Hello." });
    for frame in [
        json!({ "type": "connect-chat", "id": "first", "content": connect }),
        json!({ "type": "send-message", "id": "second", "content": send }),
    ] {
        input.extend(masked(0x81, frame.to_string().as_bytes()));
    }
    let output = String::from_utf8_lossy(&netcat(address, &input).await).into_owned();
    assert!(output.starts_with("HTTP/1.1 101 "), "{output}");
    for id in ["first", "second"] {
        assert_eq!(output.matches(id).count(), 1, "{output}");
    }
    assert_eq!(output.matches("\"ack\"").count(), 2, "{output}");
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn who_only_closes_its_end_has_left_at_once(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.sigmund, room.chat).await;
    carl.until("join").await;
    drop(wire);
    assert_eq!(carl.until("leave").await["customerId"], room.sigmund);
    // One that was connected to no chat is gone too.
    let wire = RawSocket::open(room.server.address).await;
    drop(wire);
    drop(carl);
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_without_a_chat_hears_what_it_did_not_do(store: Store) {
    for (seconds, reason) in [
        ("1", "no connect-chat within 1 s"),
        ("0.5", "no connect-chat within 0.5 s"),
    ] {
        let flag = format!("--handshake-seconds={seconds}");
        let room = Room::open_with(store, &[&flag]).await;
        let mut wire = RawSocket::open(room.server.address).await;
        let Some((0x88, payload)) = wire.next().await else {
            panic!("no close frame");
        };
        let (code, told) = payload.split_at(2);
        assert_eq!(u16::from_be_bytes([code[0], code[1]]), 1008);
        assert_eq!(std::str::from_utf8(told), Ok(reason));
        room.close().await;
    }
    // Who does not answer is told another reason.
    let room = Room::open_with(store, &["--ping-seconds=0.2"]).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    let payload = loop {
        match wire.next().await {
            Some((0x88, payload)) => break payload,
            Some(_) => {}
            None => panic!("no close frame"),
        }
    };
    assert_eq!(
        std::str::from_utf8(&payload[2..]),
        Ok("no pong within 0.4 s")
    );
    room.close().await;
}
