//! Long texts of control characters, each of which takes six bytes in JSON. No answer and no replay
//! holds all of them at once.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{
    Person, RawSocket, Server, Store, apply, both_stores, field, number, patiently, rstest,
};

/// The number of messages of 16 KiB. In JSON they take some 15 MB, more than the buffers to a client that
/// does not read.
const MESSAGES: usize = 150;
/// The number of these messages that a page may hold: 1 MiB of text.
const ON_A_PAGE: usize = 64;

fn longest() -> String {
    // A message needs one visible character.
    "\u{1}".repeat(16 * 1024 - 1) + "."
}

/// A server where carl has talked to himself.
async fn world(store: Store) -> (Server, Person, i64) {
    let flags = ["--auth=required", "--rate-limit=off"];
    let server = Server::start_with(store, &flags).await;
    let carl = server.person("carl").await;
    let chat = carl.chat("general").await;
    let sending = stream::iter(0..MESSAGES).map(|n| send_longest(&carl, chat, n));
    let sent = sending.buffer_unordered(16).count();
    assert_eq!(patiently("the messages to be stored", sent).await, MESSAGES);
    (server, carl, chat)
}

/// Sends a message of the greatest length. A busy machine may refuse it; then it is sent again under its
/// `clientMessageId`, so that it is stored once.
async fn send_longest(carl: &Person, chat: i64, n: usize) {
    let body = json!({ "content": longest(), "clientMessageId": format!("longest {n}") });
    let path = format!("/chat/{chat}/message");
    loop {
        match carl.client.post(&path, body.clone()).await.status {
            200 | 201 => return,
            status => assert_eq!(status, 503),
        }
    }
}

#[apply(both_stores)]
async fn pages_end_where_their_text_is_long_enough(store: Store) {
    let (_server, carl, chat) = world(store).await;
    for query in ["limit=1000", "limit=1000&since=0", "limit=1000&q=%01"] {
        let path = format!("/chat/{chat}/message?{query}");
        let pages = carl.client.pages(&path).await;
        let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(
            lengths,
            [ON_A_PAGE, ON_A_PAGE, MESSAGES - 2 * ON_A_PAGE],
            "{query}"
        );
        let seqs: BTreeSet<i64> = pages
            .iter()
            .flatten()
            .map(|row| number(row, "seq"))
            .collect();
        assert!(seqs.into_iter().eq(1..=MESSAGES as i64), "{query}");
    }
    // A page never has more rows than its limit.
    let path = format!("/chat/{chat}/message?limit=60");
    let few: Vec<usize> = carl
        .client
        .pages(&path)
        .await
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(few, [60, 60, 30]);
}

#[apply(both_stores)]
async fn a_replay_of_long_texts_is_whole(store: Store) {
    let (server, carl, chat) = world(store).await;
    let mut socket = server.socket().await;
    let mut content = carl.connect(chat);
    content["since"] = json!(0);
    socket
        .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
        .await;
    let mut frames = socket.frames_until(|frame| frame["id"] == "resume").await;
    frames.retain(|frame| frame["replay"] == true);
    let messages: Vec<Value> = frames
        .iter()
        .map(|frame| frame["content"].clone())
        .collect();
    let expected: Vec<usize> = (1..=MESSAGES).collect();
    assert_eq!(field(&messages, "seq"), expected);
}

#[apply(both_stores)]
async fn an_ended_session_is_sent_no_more_of_its_replay(store: Store) {
    let (server, carl, chat) = world(store).await;
    let again = carl.again().await;
    let sessions = again.client.list("/session").await;
    let ending = sessions.iter().find(|session| session["current"] == false);
    let ending = &ending.expect("the first session")["sessionId"];

    let mut wire = RawSocket::open(server.address).await;
    let mut content = carl.connect(chat);
    content["since"] = json!(0);
    wire.send(json!({ "type": "connect-chat", "content": content }))
        .await;
    assert_eq!(wire.next_text().await["replay"], true);
    again
        .client
        .delete(&format!("/session/{ending}"))
        .await
        .expect(204);
    let mut sent = 1;
    let code = loop {
        match wire.next().await {
            Some((0x88, payload)) => break payload,
            Some(_) => sent += 1,
            None => panic!("the socket ended without a word after {sent} frames"),
        }
    };
    assert!(code.starts_with(&4001_u16.to_be_bytes()), "{code:?}");
    assert!(sent < MESSAGES, "all was sent");
}
