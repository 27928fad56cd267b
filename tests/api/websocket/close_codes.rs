//! The reasons for which the server closes a socket, and heartbeats.

use serde_json::{Value, json};
use testkit::{RawSocket, Room, Store, apply, both_stores, masked, rstest};
use tokio_tungstenite::tungstenite::Message;

const LIMIT: usize = 64 * 1024;

/// A message of exactly so many bytes, white space included.
fn message_of(bytes: usize, chat: i64) -> String {
    let content = json!({ "chatId": chat, "content": "just so" });
    let mut text = json!({ "type": "send-message", "id": 1, "content": content }).to_string();
    text.push_str(&" ".repeat(bytes - text.len()));
    text
}

/// A connection by hand, connected to the room's chat as carl.
async fn wire(room: &Room) -> RawSocket {
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    wire
}

#[apply(both_stores)]
async fn a_binary_frame_closes_1003(store: Store) {
    let room = Room::open(store).await;
    let mut connected = room.enter(room.carl).await;
    let mut unconnected = room.server.socket().await;
    for socket in [&mut connected, &mut unconnected] {
        socket.send_raw(Message::binary(vec![1, 2, 3])).await;
        assert_eq!(socket.closed().await, 1003);
    }
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_over_64_kib_in_one_frame_closes_1009(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.enter(room.carl).await;
    socket.send_text(&message_of(LIMIT, room.chat)).await;
    socket.until("ack").await;
    socket.send_text(&message_of(LIMIT + 1, room.chat)).await;
    assert_eq!(socket.closed().await, 1009);
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_over_64_kib_in_many_fragments_closes_1009(store: Store) {
    let room = Room::open(store).await;
    let mut wire = wire(&room).await;
    let fragment = [b' '; 1024];
    wire.write(&masked(0x01, &fragment)).await;
    for _ in 0..LIMIT / fragment.len() {
        wire.write(&masked(0x00, &fragment)).await;
    }
    assert_eq!(wire.closed().await, 1009);
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_of_many_fragments_is_one_message(store: Store) {
    let room = Room::open(store).await;
    let mut wire = wire(&room).await;
    let text = message_of(LIMIT, room.chat);
    let mut fragments: Vec<Vec<u8>> = text
        .as_bytes()
        .chunks(1000)
        .map(|part| masked(0x00, part))
        .collect();
    let last = fragments.len() - 1;
    fragments[0][0] = 0x01;
    fragments[last][0] = 0x80;
    wire.write(&fragments.concat()).await;
    while wire.next_text().await["type"] != "ack" {}
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn text_that_is_not_utf8_closes_1007(store: Store) {
    let room = Room::open(store).await;
    let mut wire = wire(&room).await;
    wire.write(&masked(0x81, b"{\"type\":\"\xff\xfe\"}")).await;
    assert_eq!(wire.closed().await, 1007);
    room.close().await;
}

#[apply(both_stores)]
async fn a_broken_frame_closes_1002(store: Store) {
    let room = Room::open(store).await;
    let mut unmasked = vec![0x81, 2];
    unmasked.extend(b"{}");
    let two_beginnings = [masked(0x01, b"{"), masked(0x01, b"}")].concat();
    for (what, broken) in [
        ("reserved bits", masked(0xc1, b"{}")),
        ("no mask", unmasked),
        ("an unknown opcode", masked(0x83, b"{}")),
        ("a ping in fragments", masked(0x09, b"")),
        ("a ping that is too long", masked(0x89, &[0; 126])),
        ("an end without a beginning", masked(0x80, b"{}")),
        ("a beginning within a message", two_beginnings),
    ] {
        let mut wire = wire(&room).await;
        wire.write(&broken).await;
        assert_eq!(wire.closed().await, 1002, "{what}");
    }
    room.close().await;
}

#[apply(both_stores)]
async fn who_connects_to_no_chat_in_time_is_closed_1008(store: Store) {
    let room = Room::open_with(store, &["--handshake-seconds=0.3"]).await;
    let mut silent = room.server.socket().await;
    assert_eq!(silent.closed().await, 1008);
    let mut refused = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": 999_999 });
    refused
        .refused("connect-chat", content, "chat_not_found")
        .await;
    assert_eq!(refused.closed().await, 1008);
    room.close().await;
}

#[apply(both_stores)]
async fn who_answers_no_ping_is_closed_1008(store: Store) {
    let room = Room::open_with(store, &["--ping-seconds=0.2"]).await;
    let mut watcher = room.enter(room.sigmund).await;
    // Reading, the watcher answers its own pings.
    let watching = tokio::spawn(async move { watcher.until("leave").await });
    let mut wire = wire(&room).await;
    let mut pings = 0;
    let code = loop {
        match wire.next().await.expect("a close frame") {
            (0x89, _) => pings += 1,
            (0x88, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            _ => {}
        }
    };
    assert_eq!((pings, code), (2, 1008));
    drop(wire);
    let leave = watching.await.expect("the watcher");
    assert_eq!(leave["customerId"], room.carl);
    room.close().await;
}

#[apply(both_stores)]
async fn who_answers_pings_stays(store: Store) {
    let room = Room::of_members_with(store, &["--ping-seconds=1"]).await;
    let mut socket = room.enter(room.carl).await;
    // Twice as many beats as a silent socket would live to see.
    for _ in 0..6 {
        socket.expect("heartbeat").await;
    }
    assert_eq!(socket.say(room.chat, "still here").await["seq"], 1);
    room.close().await;
}

#[apply(both_stores)]
async fn a_ping_is_answered(store: Store) {
    let room = Room::open(store).await;
    let mut socket = room.enter(room.carl).await;
    socket
        .send_raw(Message::Ping("are you there?".into()))
        .await;
    let pong = socket.next_raw().await;
    assert_eq!(pong, Some(Message::Pong("are you there?".into())));
    room.close().await;
}

#[apply(both_stores)]
async fn a_heartbeat_tells_the_head_of_each_chat(store: Store) {
    let room = Room::of_members_with(store, &["--ping-seconds=0.2"]).await;
    let other = room.client.new_chat("random").await;
    let mut socket = room.enter(room.carl).await;
    socket.enter(room.carl, other).await;
    for text in ["one", "two", "three"] {
        socket.say(room.chat, text).await;
    }
    // The membership in the other chat is the only change there.
    let heads = json!({ room.chat.to_string(): 3, other.to_string(): 1 });
    let expected = json!({ "type": "heartbeat", "content": heads });
    socket.frames_until(|frame| *frame == expected).await;
    assert_eq!(socket.expect("heartbeat").await, expected);
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_that_resumed_gets_heartbeats(store: Store) {
    let room = Room::of_members_with(store, &["--ping-seconds=0.2"]).await;
    let mut socket = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat, "since": 0 });
    socket
        .send(json!({ "type": "connect-chat", "content": content }))
        .await;
    let beat = socket.until("heartbeat").await;
    assert_eq!(beat["content"], json!({ room.chat.to_string(): 0 }));
    room.close().await;
}

#[apply(both_stores)]
async fn a_socket_without_id_or_since_gets_no_heartbeat(store: Store) {
    let room = Room::open_with(store, &["--ping-seconds=0.2"]).await;
    let mut socket = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat });
    socket
        .send(json!({ "type": "connect-chat", "content": content }))
        .await;
    // A heartbeat would stand before its ping.
    let (mut pings, mut texts) = (0, Vec::new());
    while pings < 3 {
        match socket.next_raw().await.expect("a frame") {
            Message::Ping(_) => pings += 1,
            Message::Text(text) => {
                texts.push(serde_json::from_str::<Value>(&text).expect("JSON"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        texts.iter().all(|frame| frame["type"] == "join"),
        "{texts:?}"
    );
    room.close().await;
}

#[apply(both_stores)]
async fn too_many_chats_on_a_socket_are_forbidden(store: Store) {
    let room = Room::open_with(store, &["--max-chats-per-socket=2"]).await;
    let (second, third) = (
        room.client.new_chat("second").await,
        room.client.new_chat("third").await,
    );
    let mut socket = room.enter(room.carl).await;
    socket.enter(room.carl, second).await;
    let content = json!({ "customerId": room.carl, "chatId": third });
    socket
        .refused("connect-chat", content.clone(), "forbidden")
        .await;
    // Connecting again to one of the two takes no further place; leaving one makes room.
    socket.enter(room.carl, second).await;
    socket.ask("leave-chat", json!(second)).await;
    assert_eq!(socket.ask("connect-chat", content).await["chatId"], third);
    room.close().await;
}
