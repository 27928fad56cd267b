//! False words over the link: what anyone who can publish there may say.

use crate::{epoch, named};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::{Cluster, Nats, change, number, patiently};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const CHANGES: u8 = 1;
const PASSING: u8 = 2;
const NOTE: u8 = 3;

/// A client of NATS that speaks its protocol by itself.
struct Publisher {
    stream: BufReader<TcpStream>,
}

impl Publisher {
    async fn open(nats: &Nats) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", nats.port)).await;
        let mut stream = BufReader::new(stream.expect("NATS"));
        let hello = b"CONNECT {\"verbose\":false}\r\nSUB messaging.> 1\r\nPING\r\n";
        stream.write_all(hello).await.expect("NATS");
        let mut publisher = Self { stream };
        while publisher.line().await != "PONG" {}
        publisher
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let reading = self.stream.read_line(&mut line);
        patiently("a line of NATS", reading).await.expect("NATS");
        line.trim_end().to_owned()
    }

    /// The next message, and where it went.
    async fn next(&mut self) -> (String, Vec<u8>) {
        loop {
            let line = self.line().await;
            let words: Vec<&str> = line.split(' ').collect();
            if line == "PING" {
                self.stream.write_all(b"PONG\r\n").await.expect("NATS");
            } else if let ["MSG", subject, .., length] = words[..] {
                let length: usize = length.parse().expect("a length");
                let mut payload = vec![0; length + 2];
                let reading = self.stream.read_exact(&mut payload);
                patiently("a payload", reading).await.expect("NATS");
                payload.truncate(length);
                return (subject.to_owned(), payload);
            }
        }
    }

    /// Where the changes of a chat go.
    async fn subject_of(&mut self, chat: i64) -> String {
        loop {
            let (subject, payload) = self.next().await;
            if payload[1] == CHANGES && payload[18..26] == chat.to_be_bytes() {
                return subject;
            }
        }
    }

    async fn publish(&mut self, subject: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        let message = [head.as_bytes(), payload, b"\r\nPING\r\n"].concat();
        self.stream.write_all(&message).await.expect("NATS");
        // Behind this, the message has been passed on.
        loop {
            let line = self.line().await;
            if line == "PONG" {
                return;
            }
            if let Some(length) = line.strip_prefix("MSG ").and_then(|l| l.rsplit(' ').next()) {
                let length: usize = length.parse().expect("a length");
                let mut payload = vec![0; length + 2];
                self.stream.read_exact(&mut payload).await.expect("NATS");
            }
        }
    }
}

/// A message as a node would make it.
fn message(kind: u8, chat: i64, body: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock").as_millis() as u64;
    let mut bytes = vec![1, kind];
    bytes.extend(0xbad_u64.to_be_bytes());
    bytes.extend(now.to_be_bytes());
    bytes.extend(chat.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn frame(seq: i64, frame: &[u8]) -> Vec<u8> {
    let mut bytes = seq.to_be_bytes().to_vec();
    bytes.extend((frame.len() as u32).to_be_bytes());
    bytes.extend(frame);
    bytes
}

/// A change that was never committed.
fn false_change(chat: i64, seq: i64, text: &str) -> Vec<u8> {
    let content = json!({
        "messageId": 1_000_000, "chatId": chat, "customerId": 1, "username": "carl",
        "content": text, "seq": seq, "sentAt": "2026-11-23T06:22:29.659Z", "editedAt": null,
        "deletedAt": null, "replyTo": null, "clientMessageId": null
    });
    let whole = json!({
        "type": "send-message", "content": content, "chatId": chat, "customerId": 1, "seq": seq
    });
    frame(seq, whole.to_string().as_bytes())
}

/// Two nodes, a publisher of false messages, and the subject of the chat.
async fn with_publisher(flags: &[&str]) -> (Cluster, Publisher, String) {
    let cluster = Cluster::open_with(2, flags).await;
    let mut publisher = Publisher::open(&cluster.nats).await;
    cluster.say(0, "where does this go?").await;
    let subject = publisher.subject_of(cluster.chat).await;
    (cluster, publisher, subject)
}

/// What carl says through the first node comes to the socket on the second, live and nothing else.
async fn is_heard(cluster: &Cluster, socket: &mut testkit::Socket, texts: &[&str]) {
    for text in texts {
        let said = cluster.say(0, text).await;
        let frames = socket.frames_until(|frame| change(frame).is_some()).await;
        let last = frames.last().expect("a frame");
        assert_eq!(last["content"], said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_number_far_ahead_silences_no_chat() {
    let (cluster, mut publisher, subject) = with_publisher(&[]).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    let mut carl = cluster.enter(0, cluster.carl).await;
    cluster.until_heard(0, &mut sigmund).await;
    let chat = cluster.chat;
    for seq in [1_000_000, i64::MAX] {
        let body = false_change(chat, seq, "far ahead");
        publisher
            .publish(&subject, &message(CHANGES, chat, &body))
            .await;
        is_heard(&cluster, &mut sigmund, &["one", "two", "three", "four"]).await;
    }
    // On the node of the sender too.
    carl.frames_before("four").await;
    // One who comes now is told the same.
    let body = false_change(chat, 2_000_000, "far ahead");
    publisher
        .publish(&subject, &message(CHANGES, chat, &body))
        .await;
    let mut third = cluster.enter(1, cluster.carl).await;
    is_heard(&cluster, &mut third, &["five"]).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn broken_frames_reach_no_socket() {
    let (cluster, mut publisher, subject) = with_publisher(&[]).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    let (chat, next) = (
        cluster.chat,
        number(&cluster.say(0, "now").await, "seq") + 1,
    );
    sigmund.frames_before("now").await;
    let of_another = false_change(chat + 1, next, "of another chat");
    let misnumbered = [
        &next.to_be_bytes()[..],
        &false_change(chat, next + 1, "x")[8..],
    ]
    .concat();
    let speech = false_change(chat, next, "as if of the moment");
    let last = |text: &str| false_change(chat, i64::MAX, text);
    let last_and_one = [last("the last"), last("one more")].concat();
    let passing = |text: &[u8]| message(PASSING, chat, text);
    for payload in [
        message(CHANGES, chat, &frame(next, b"\xff\xfe")),
        message(CHANGES, chat, &frame(next, b"not JSON")),
        message(
            CHANGES,
            chat,
            &frame(next, b"{\"type\":\"leave-chat\",\"content\":1}"),
        ),
        message(CHANGES, chat, &of_another),
        message(CHANGES, chat, &misnumbered),
        message(CHANGES, chat, &frame(-1, b"{}")),
        message(CHANGES, chat, &last_and_one),
        passing(b"\xff"),
        passing(b"not JSON"),
        passing(b"{\"type\":\"delete-chat\",\"content\":1}"),
        passing(&speech[12..]),
    ] {
        publisher.publish(&subject, &payload).await;
    }
    let said = cluster.say(0, "nothing before this").await;
    assert_eq!(sigmund.next().await["content"], said);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_false_order_ends_nothing() {
    let (cluster, mut publisher, subject) = with_publisher(&["--compare-seconds=3600"]).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    let (chat, user) = (cluster.chat, cluster.sigmund);
    for order in [
        json!({ "Closed": { "chat": chat } }),
        json!({ "Removed": { "chat": chat, "user": user } }),
        json!({ "UserEnded": { "user": user } }),
        json!({ "SessionEnded": { "session": 1 } }),
    ] {
        let payload = message(NOTE, 0, order.to_string().as_bytes());
        publisher.publish(&subject, &payload).await;
        is_heard(&cluster, &mut sigmund, &["still here"]).await;
        let typing = sigmund.ask("start-typing", json!({ "chatId": chat })).await;
        assert_eq!(typing["chatId"], chat);
    }
    cluster.close().await;
}

/// It cannot be told from a true one before the database is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_false_change_that_was_shown_ends_the_epoch_within_seconds() {
    let (cluster, mut publisher, subject) = with_publisher(&[]).await;
    let mut sigmund = cluster.nodes[1].socket().await;
    let before = named(&sigmund.enter(cluster.sigmund, cluster.chat).await);
    cluster.until_heard(0, &mut sigmund).await;
    let (chat, next) = (
        cluster.chat,
        number(&cluster.say(0, "now").await, "seq") + 1,
    );
    sigmund.frames_before("now").await;
    let body = false_change(chat, next, "never said");
    publisher
        .publish(&subject, &message(CHANGES, chat, &body))
        .await;
    assert_eq!(sigmund.closed().await, 1012);
    let after = epoch(&cluster.nodes[1], cluster.sigmund, chat).await;
    assert_ne!(after, before);
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    cluster.close().await;
}

/// The true change of that number comes before the comparison does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn two_changes_of_one_number_end_the_epoch() {
    let (cluster, mut publisher, subject) = with_publisher(&["--compare-seconds=3600"]).await;
    let mut sigmund = cluster.enter(1, cluster.sigmund).await;
    cluster.until_heard(0, &mut sigmund).await;
    let (chat, next) = (
        cluster.chat,
        number(&cluster.say(0, "now").await, "seq") + 1,
    );
    sigmund.frames_before("now").await;
    let body = false_change(chat, next, "never said");
    publisher
        .publish(&subject, &message(CHANGES, chat, &body))
        .await;
    sigmund.frames_before("never said").await;
    let said: Value = cluster.say(0, "said").await;
    assert_eq!(number(&said, "seq"), next);
    assert_eq!(sigmund.closed().await, 1012);
    cluster.close().await;
}
