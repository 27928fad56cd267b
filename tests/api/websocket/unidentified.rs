//! Sockets that send without end and never identify themselves.

use serde_json::json;
use testkit::{Server, Store, apply, both_stores, patiently, rstest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

/// An unasked pong, which needs no answer; its mask is zero.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
/// The end of a socket that broke the rules: its close frame begins so.
const POLICY: [u8; 2] = 1008_u16.to_be_bytes();

#[apply(both_stores)]
async fn who_never_stops_talking_is_closed_in_time_too(store: Store) {
    let flags = ["--handshake-seconds=1", "--rate-limit=off"];
    let server = Server::start_with(store, &flags).await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("a connection");
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    stream.write_all(upgrade.as_bytes()).await.expect("room");
    let (mut reading, mut writing) = stream.into_split();
    let pongs = PONG.repeat(10_000);
    let talking = tokio::spawn(async move { while writing.write_all(&pongs).await.is_ok() {} });
    let mut heard = Vec::new();
    // However it ends: what counts is what was said before.
    let _ = patiently("its end", reading.read_to_end(&mut heard)).await;
    let said = heard
        .windows(4)
        .any(|bytes| bytes[0] == 0x88 && bytes[2..] == POLICY);
    assert!(said, "{:?}", String::from_utf8_lossy(&heard));
    patiently("the talker to notice", talking)
        .await
        .expect("no panic");
}

/// Tries wrong tokens until the socket is closed; gives how many were answered, and the code.
async fn guess(server: &Server) -> (usize, u16) {
    let mut socket = server.socket().await;
    let content = json!({ "chatId": 1, "token": "0".repeat(64) });
    // All at once: where it is closed in between, the rest is not answered.
    for n in 0..10 {
        let guess = json!({ "type": "connect-chat", "id": n, "content": content });
        socket.try_send(guess).await;
    }
    let mut answered = 0;
    loop {
        match socket.next_raw().await {
            Some(Message::Text(text)) => {
                assert!(text.contains("unauthorized"), "{text}");
                answered += 1;
            }
            Some(Message::Close(Some(close))) => return (answered, close.code.into()),
            Some(_) => {}
            None => panic!("it ended without a word"),
        }
    }
}

#[apply(both_stores)]
async fn a_socket_may_try_five_wrong_tokens(store: Store) {
    let server = Server::start_with(store, &["--auth=required", "--rate-limit=off"]).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    assert_eq!(guess(&server).await, (5, 1008));
    // Who mistakes one token for another once or twice goes on.
    let mut socket = server.socket().await;
    let wrong = json!({ "chatId": chat, "token": "0".repeat(64) });
    for _ in 0..4 {
        socket
            .refused("connect-chat", wrong.clone(), "unauthorized")
            .await;
    }
    socket.ask("connect-chat", carl.connect(chat)).await;
}

#[apply(both_stores)]
async fn wrong_tokens_are_requests_of_their_address(store: Store) {
    let flags = [
        "--auth=required",
        "--rate-limit=on",
        "--requests-per-second=1",
        "--burst-seconds=2",
    ];
    let server = Server::start_with(store, &flags).await;
    // The upgrade is one request, the first token another.
    let (tries, code) = guess(&server).await;
    assert!(tries < 5, "{tries} tokens within two requests");
    assert_eq!(code, 1008);
}
