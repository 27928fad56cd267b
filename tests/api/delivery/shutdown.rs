//! Shutdown while clients send.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{
    RawSocket, Room, Server, Socket, Store, apply, both_stores, change, history, rstest,
};
use tokio_tungstenite::tungstenite::Message;

const SOCKETS: usize = 40;
/// Frames of one socket that wait for their acks.
const AHEAD: usize = 10;

/// What one sender knows at its end.
struct Account {
    /// The texts that were acked.
    acked: Vec<String>,
    /// The code its socket was closed with.
    code: u16,
}

/// Sends until the socket is closed, always a few frames ahead of the acks.
async fn send_until_closed(mut socket: Socket, chat: i64, name: usize) -> Account {
    let (mut sent, mut acked) = (0, Vec::new());
    loop {
        while sent < acked.len() + AHEAD {
            let content = json!({ "chatId": chat, "content": format!("{name}.{sent}") });
            let frame = json!({ "type": "send-message", "id": sent, "content": content });
            sent += 1;
            if !socket.try_send(frame).await {
                break;
            }
        }
        let text = match socket.next_raw().await {
            Some(Message::Text(text)) => text,
            Some(Message::Close(close)) => {
                let code = close.map_or(1005, |close| close.code.into());
                return Account { acked, code };
            }
            Some(_) => continue,
            None => return Account { acked, code: 1006 },
        };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_ne!(frame["type"], "error", "{frame}");
        if frame["type"] == "ack" {
            assert_eq!(frame["id"], acked.len(), "acks come in order");
            acked.push(
                frame["content"]["content"]
                    .as_str()
                    .expect("a text")
                    .to_owned(),
            );
        }
    }
}

#[apply(both_stores)]
async fn a_stopping_server_acks_what_it_stored_and_closes_every_socket_1012(store: Store) {
    let mut room = Room::open(store).await;
    // Four share the watched chat; the others have one each, so that the test moves no more frames
    // than it must. All share the writer.
    let mut watcher = room.enter(room.sigmund).await;
    let mut senders = Vec::new();
    let mut chats = Vec::new();
    for name in 0..SOCKETS {
        let chat = match name {
            0..4 => room.chat,
            _ => room.client.new_chat("random").await,
        };
        chats.push(chat);
        let mut socket = room.server.socket().await;
        socket.enter(room.carl, chat).await;
        senders.push(tokio::spawn(send_until_closed(socket, chat, name)));
    }
    watcher
        .frames_until(|frame| change(frame) == Some(100))
        .await;
    room.server.begin_stop();
    let (mut acked, mut codes) = (Vec::new(), Vec::new());
    for sender in senders {
        let account = sender.await.expect("a sender");
        acked.extend(account.acked);
        codes.push(account.code);
    }
    assert_eq!(codes, [1012; SOCKETS]);
    assert_eq!(watcher.closed().await, 1012);

    let server = Server::start_on(room.server.stop().await, &[]).await;
    let client = server.client();
    let mut stored = Vec::new();
    for chat in BTreeSet::from_iter(chats) {
        let messages = history(&client, chat).await;
        let texts = messages.iter().filter_map(|m| m["content"].as_str());
        stored.extend(texts.map(str::to_owned));
    }
    acked.sort_unstable();
    stored.sort_unstable();
    assert!(acked.len() > 100);
    assert_eq!(acked, stored, "acked is stored, and stored is acked");
    server.stop().await;
}

#[apply(both_stores)]
async fn an_unconnected_socket_is_closed_1012_too(store: Store) {
    let mut room = Room::open(store).await;
    let mut idle = room.server.socket().await;
    // An answer proves that the server has taken it in.
    idle.refused("dance", json!(null), "unknown_type").await;
    room.server.begin_stop();
    assert_eq!(idle.closed().await, 1012);
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_that_catches_up_is_closed_1012_where_it_is(store: Store) {
    const MESSAGES: i64 = 900;
    let mut room = Room::open(store).await;
    let text = "x".repeat(8 * 1024);
    let database = &room.server.database;
    database.fill(room.chat, room.carl, MESSAGES, &text).await;
    let mut wire = RawSocket::open(room.server.address).await;
    let content = json!({ "customerId": room.sigmund, "chatId": room.chat, "since": 0 });
    wire.send(json!({ "type": "connect-chat", "id": 1, "content": content }))
        .await;
    // Its buffers hold a part of the replay: it is in the middle of it, and the server waits for it.
    let first = wire.next_text().await;
    assert_eq!((&first["replay"], change(&first)), (&json!(true), Some(1)));
    room.server.begin_stop();
    let mut seen = vec![1];
    let code = loop {
        match wire.next().await {
            Some((0x81, text)) => {
                let frame: Value = serde_json::from_slice(&text).expect("JSON");
                seen.extend(change(&frame));
            }
            Some((0x88, code)) => break code,
            Some(_) => {}
            None => panic!("it ended without a close frame after {}", seen.len()),
        }
    };
    assert_eq!(code.first_chunk(), Some(&1012_u16.to_be_bytes()));
    let expected: Vec<i64> = (1..=seen.len() as i64).collect();
    assert_eq!(
        seen, expected,
        "what it got is the beginning, without a hole"
    );
    room.close().await;
}
