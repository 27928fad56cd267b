//! Sockets that read slowly, or not at all.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::{
    Client, Database, Process, RawSocket, Room, Store, apply, both_stores, change, patiently,
    rstest,
};

/// More messages than the buffers between server and client and the chat's channel can hold for a client
/// that does not read.
const MESSAGES: i64 = 2000;
/// The most messages in a commit: few, so that there are many commits.
const AT_ONCE: usize = 5;

fn long_text(n: i64) -> String {
    format!("{n} {}", "x".repeat(8 * 1024))
}

#[apply(both_stores)]
async fn a_slow_reader_gets_every_change_once_and_in_order_and_delays_nobody(store: Store) {
    let room = Room::of_members_with(store, &["--write-seconds=120"]).await;
    let chat = room.chat;
    let mut slow = RawSocket::open(room.server.address).await;
    slow.connect(room.sigmund, chat).await;
    let mut quick = room.enter(room.carl).await;
    let mut sender = room.enter(room.carl).await;
    let reading = tokio::spawn(async move {
        quick
            .frames_until(|frame| change(frame) == Some(MESSAGES))
            .await
    });
    let texts: Vec<String> = (1..=MESSAGES).map(long_text).collect();
    for texts in texts.chunks(AT_ONCE) {
        sender.say_all(chat, texts).await;
    }
    // The other sockets receive everything while the slow one has not read a byte.
    let expected: Vec<i64> = (1..=MESSAGES).collect();
    let quick = reading.await.expect("the quick reader");
    let seen: Vec<i64> = quick.iter().filter_map(change).collect();
    assert_eq!(seen, expected);

    let (mut seen, mut replayed) = (Vec::new(), 0);
    while seen.last() != Some(&MESSAGES) {
        let frame = slow.next_text().await;
        seen.extend(change(&frame));
        replayed += i64::from(frame["replay"] == true);
    }
    assert_eq!(seen, expected);
    assert!(
        0 < replayed && replayed < MESSAGES,
        "live first, then read back: {replayed} of {MESSAGES}"
    );
    room.say("live again").await;
    // A heartbeat may come first.
    let frame = loop {
        let frame = slow.next_text().await;
        if change(&frame).is_some() {
            break frame;
        }
    };
    assert_eq!(
        (change(&frame), frame.get("replay")),
        (Some(MESSAGES + 1), None)
    );
    room.close().await;
}

#[apply(both_stores)]
async fn who_never_reads_is_closed_and_the_others_get_everything(store: Store) {
    let room = Room::of_members_with(store, &["--write-seconds=0.5"]).await;
    let mut deaf = RawSocket::open(room.server.address).await;
    deaf.connect(room.sigmund, room.chat).await;
    let mut carl = room.enter(room.carl).await;
    let text = long_text(0);
    let left = |frame: &Value| frame["type"] == "leave" && frame["customerId"] == room.sigmund;
    let sending = async {
        let mut sent = 0;
        loop {
            let content = json!({ "chatId": room.chat, "content": text });
            carl.send(json!({ "type": "send-message", "content": content }))
                .await;
            sent += 1;
            // The sender receives each of its messages in order, although the other socket does not read.
            let frames = carl.frames_until(|frame| change(frame).is_some()).await;
            assert_eq!(frames.last().and_then(change), Some(sent));
            if frames.iter().any(left) {
                return;
            }
        }
    };
    patiently("the server to give up on who never reads", sending).await;
    // The buffers are full, so most often not even a close frame (1013) arrives. Then the code is 1006.
    let code = deaf.closed().await;
    assert!(matches!(code, 1013 | 1006), "{code}");
    room.close().await;
}

/// Sends this many messages of the greatest length, 256 at a time, so that they share commits.
async fn flood(client: &Client, user: i64, chat: i64, messages: usize) {
    let body = json!({ "customerId": user, "content": "x".repeat(16 * 1024) });
    let path = format!("/chat/{chat}/message");
    let sending = (0..messages).map(|_| async {
        // A busy machine may refuse some of them.
        while client.post(&path, body.clone()).await.status != 201 {}
    });
    let sent = stream::iter(sending).buffer_unordered(256);
    assert_eq!(sent.count().await, messages);
}

#[apply(both_stores)]
async fn long_messages_for_a_slow_reader_take_bounded_memory(store: Store) {
    /// A number of messages with more text than the 32 MiB that a chat keeps for a slow reader.
    const FULL: usize = 2400;
    /// Further messages. Without the bound the chat would keep all of these too: 62 MiB.
    const MORE: usize = 4000;
    const BOUND: i64 = 24 * 1024 * 1024;
    let database = Database::new(store).await;
    // Without these settings the allocator keeps freed memory for a second, which would count as used.
    let at_once = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
    let settings = [("DATABASE_URL", database.url.as_str()), at_once];
    let process = Process::start(database.folder.path(), &settings).await;
    let client = process.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("busy").await;
    let mut deaf = RawSocket::open(process.address).await;
    deaf.connect(carl, chat).await;
    flood(&client, carl, chat, FULL).await;
    let before = process.peak_memory();
    flood(&client, carl, chat, MORE).await;
    let grown = process.peak_memory() - before;
    assert!(grown < BOUND, "{} MiB more", grown / 1024 / 1024);
    process.kill().await;
}
