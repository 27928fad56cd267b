//! Frames that break the WebSocket protocol, or go to its limits.

use serde_json::{Value, json};
use testkit::{RawSocket, Room, Store, apply, both_stores, masked, rstest};

/// Every broken frame, and the code it closes with.
fn broken_frames() -> Vec<(String, Vec<u8>, u16)> {
    let mut all = Vec::new();
    for bits in 1..8_u8 {
        let first = 0x81 | bits << 4;
        all.push((
            format!("reserved bits {bits:03b}"),
            masked(first, b"{}"),
            1002,
        ));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15_u8] {
        all.push((
            format!("opcode {opcode}"),
            masked(0x80 | opcode, b"{}"),
            1002,
        ));
        all.push((
            format!("begun opcode {opcode}"),
            masked(opcode, b"{}"),
            1002,
        ));
    }
    for (name, opcode) in [("close", 8), ("ping", 9), ("pong", 10_u8)] {
        all.push((format!("{name} in fragments"), masked(opcode, b""), 1002));
        all.push((
            format!("{name} of 126 bytes"),
            masked(0x80 | opcode, &[0; 126]),
            1002,
        ));
        all.push((
            format!("{name} of 70,000 bytes"),
            masked(0x80 | opcode, &[0; 70_000]),
            1009,
        ));
        all.push((
            format!("{name} without a mask"),
            vec![0x80 | opcode, 2, 3, 232],
            1002,
        ));
    }
    for first in [0x81, 0x01, 0x82_u8] {
        all.push((
            format!("{first:#x} without a mask"),
            vec![first, 2, b'{', b'}'],
            1002,
        ));
    }
    let two = [masked(0x01, b"{"), masked(0x81, b"}")].concat();
    all.push(("a message within a message".into(), two, 1002));
    all.push(("an end without a beginning".into(), masked(0x80, b""), 1002));
    all.push((
        "a middle without a beginning".into(),
        masked(0x00, b""),
        1002,
    ));
    all.push(("a close of one byte".into(), masked(0x88, &[3]), 1002));
    all.push(("binary".into(), masked(0x82, b"{}"), 1003));
    let parts = [masked(0x02, b"{"), masked(0x80, b"}")].concat();
    all.push(("binary in fragments".into(), parts, 1003));
    all
}

#[apply(both_stores)]
async fn a_broken_frame_closes_with_its_code(store: Store) {
    let room = Room::open(store).await;
    for (what, bytes, code) in broken_frames() {
        let mut stranger = RawSocket::open(room.server.address).await;
        let mut member = RawSocket::open(room.server.address).await;
        member.connect(room.carl, room.chat).await;
        for wire in [&mut stranger, &mut member] {
            wire.write(&bytes).await;
            assert_eq!(wire.closed().await, code, "{what}");
        }
    }
    assert_eq!(room.history().await.len(), 0);
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_goodbye_with_a_code_that_is_none_ends_the_socket(store: Store) {
    let room = Room::open(store).await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535_u16] {
        let mut wire = RawSocket::open(room.server.address).await;
        wire.connect(room.carl, room.chat).await;
        wire.write(&masked(0x88, &code.to_be_bytes())).await;
        // After a close frame from the client the server need not send one.
        let answer = wire.closed().await;
        assert!([1002, 1006].contains(&answer), "{code}: {answer}");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn text_that_is_not_utf8_closes_1007_wherever_it_breaks(store: Store) {
    let room = Room::open(store).await;
    for bad in [
        b"\xff".as_slice(),
        b"\xc3",
        b"\xc3\x28",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x98",
        b"{\"type\":\"\x80\"}",
    ] {
        let mut whole = RawSocket::open(room.server.address).await;
        whole.write(&masked(0x81, bad)).await;
        assert_eq!(whole.closed().await, 1007, "{bad:?}");
        let mut parts = RawSocket::open(room.server.address).await;
        let (last, first) = bad.split_last().expect("bytes");
        parts.write(&masked(0x01, first)).await;
        parts.write(&masked(0x80, &[*last])).await;
        assert_eq!(parts.closed().await, 1007, "{bad:?} in parts");
    }
    // A character that is split over two fragments is valid.
    let mut wire = RawSocket::open(room.server.address).await;
    let text = json!({ "type": "ü", "id": 1 }).to_string().into_bytes();
    let cut = text
        .iter()
        .position(|byte| *byte == 0xc3)
        .expect("a character")
        + 1;
    wire.write(&masked(0x01, &text[..cut])).await;
    wire.write(&masked(0x80, &text[cut..])).await;
    assert_eq!(wire.next_text().await["content"]["code"], "unknown_type");
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_length_beyond_the_limit_closes_before_anything_came(store: Store) {
    let room = Room::open(store).await;
    for length in [64 * 1024 + 1, 1 << 32, i64::MAX as u64, u64::MAX] {
        let mut wire = RawSocket::open(room.server.address).await;
        let mut head = vec![0x81, 0x80 | 127];
        head.extend(length.to_be_bytes());
        head.extend([0; 4]);
        wire.write(&head).await;
        assert_eq!(wire.closed().await, 1009, "{length}");
    }
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn an_oversized_frame_is_told_1009_although_it_is_sent_in_one_go(store: Store) {
    let room = Room::open(store).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    wire.write(&masked(0x81, &vec![b' '; 10 * 1024 * 1024]))
        .await;
    assert_eq!(wire.closed().await, 1009);
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn thousands_of_tiny_frames_are_answered_one_by_one(store: Store) {
    const FRAMES: usize = 2000;
    let room = Room::open(store).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    wire.write(&masked(0x81, b"").repeat(FRAMES)).await;
    wire.write(&masked(0x81, b"7").repeat(FRAMES)).await;
    let mut codes = Vec::new();
    while codes.len() < 2 * FRAMES {
        let frame = wire.next_text().await;
        if frame["type"] == "error" {
            codes.push(frame["content"]["code"].clone());
        }
    }
    assert!(codes[..FRAMES].iter().all(|code| code == "invalid_json"));
    assert!(codes[FRAMES..].iter().all(|code| code == "invalid_field"));
    room.still_serves().await;
    room.close().await;
}

/// A message with an id, as bytes.
fn message(chat: i64) -> Vec<u8> {
    let content = json!({ "chatId": chat, "content": "in pieces" });
    json!({ "type": "send-message", "id": "pieces", "content": content })
        .to_string()
        .into_bytes()
}

/// Waits for the answer to `message`. Returns the number of pongs before it.
async fn acked(wire: &mut RawSocket) -> usize {
    let mut pongs = 0;
    loop {
        match wire.next().await.expect("a frame") {
            (0x8a, _) => pongs += 1,
            (0x81, text) => {
                let frame: Value = serde_json::from_slice(&text).expect("JSON");
                if frame["id"] == "pieces" {
                    assert_eq!(frame["type"], "ack", "{frame}");
                    return pongs;
                }
            }
            _ => {}
        }
    }
}

#[apply(both_stores)]
async fn a_message_of_one_byte_fragments_is_one_message(store: Store) {
    let room = Room::open(store).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    let bytes = message(room.chat);
    for (n, byte) in bytes.iter().enumerate() {
        let first = if n == 0 { 0x01 } else { 0x00 };
        wire.write(&masked(first, &[*byte])).await;
        // A ping may stand between fragments.
        wire.write(&masked(0x89, b"?")).await;
    }
    wire.write(&masked(0x80, b"")).await;
    assert_eq!(acked(&mut wire).await, bytes.len());
    assert_eq!(room.history().await.len(), 1);
    room.close().await;
}

#[apply(both_stores)]
async fn empty_fragments_without_end_hold_nobody_up(store: Store) {
    let room = Room::open(store).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    wire.write(&masked(0x01, &message(room.chat))).await;
    let many = masked(0x00, b"").repeat(10_000);
    for _ in 0..30 {
        wire.write(&many).await;
    }
    room.still_serves().await;
    wire.write(&masked(0x80, b"")).await;
    acked(&mut wire).await;
    room.close().await;
}

#[apply(both_stores)]
async fn a_message_that_never_ends_is_closed_in_time(store: Store) {
    let room = Room::open_with(store, &["--handshake-seconds=0.3"]).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.write(&masked(0x01, b"{")).await;
    assert_eq!(wire.closed().await, 1008);
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn half_a_frame_is_closed_in_time(store: Store) {
    let room = Room::open_with(store, &["--handshake-seconds=0.3", "--ping-seconds=0.2"]).await;
    let whole = masked(0x81, &message(room.chat));
    for length in [1, 2, 5, 20, whole.len() - 1] {
        let mut stranger = RawSocket::open(room.server.address).await;
        stranger.write(&whole[..length]).await;
        assert_eq!(stranger.closed().await, 1008, "{length}");
        // A socket that is connected to a chat and cannot answer a ping is closed too.
        let mut member = RawSocket::open(room.server.address).await;
        member.connect(room.carl, room.chat).await;
        member.write(&whole[..length]).await;
        assert_eq!(member.closed().await, 1008, "{length}");
    }
    assert_eq!(room.history().await.len(), 0);
    room.still_serves().await;
    room.close().await;
}

#[apply(both_stores)]
async fn who_goes_in_mid_frame_leaves_the_chat(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let whole = masked(0x81, &message(room.chat));
    for length in [1, 7, whole.len() - 1] {
        let mut wire = RawSocket::open(room.server.address).await;
        wire.connect(room.carl, room.chat).await;
        watcher.expect("join").await;
        wire.write(&whole[..length]).await;
        drop(wire);
        assert_eq!(watcher.expect("leave").await["customerId"], room.carl);
    }
    assert_eq!(room.history().await.len(), 0);
    room.close().await;
}

#[apply(both_stores)]
async fn who_only_stops_sending_leaves_the_chat(store: Store) {
    let room = Room::of_members(store).await;
    let mut watcher = room.enter(room.sigmund).await;
    let mut wire = RawSocket::open(room.server.address).await;
    wire.connect(room.carl, room.chat).await;
    watcher.expect("join").await;
    wire.finish().await;
    assert_eq!(watcher.expect("leave").await["customerId"], room.carl);
    room.still_serves().await;
    room.close().await;
}
