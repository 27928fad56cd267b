//! Real processes that are killed, and processes that are stopped one after the other.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::until_link;
use testkit::{Client, Database, Nats, Process, Socket, Store, change, history, patiently};

/// Three processes on one database.
struct Fleet {
    nats: Nats,
    database: Database,
    nodes: Vec<Option<Process>>,
    user: i64,
    chat: i64,
}

impl Fleet {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let database = Database::new(Store::Postgres).await;
        let mut fleet = Self {
            nats,
            database,
            nodes: vec![None, None, None],
            user: 0,
            chat: 0,
        };
        for node in 0..3 {
            fleet.launch(node).await;
        }
        fleet.user = fleet.client(0).new_user("carl").await;
        fleet.chat = fleet.client(0).new_chat("general").await;
        fleet.database.settle(fleet.chat, fleet.user).await;
        fleet
    }

    async fn launch(&mut self, node: usize) {
        let url = self.nats.url();
        let settings = [
            ("DATABASE_URL", self.database.url.as_str()),
            ("NATS_URL", &url),
        ];
        let process = Process::start(self.database.folder.path(), &settings).await;
        until_link(&process.client(), "up").await;
        self.nodes[node] = Some(process);
    }

    fn process(&self, node: usize) -> &Process {
        self.nodes[node].as_ref().expect("a running node")
    }

    fn client(&self, node: usize) -> Client {
        self.process(node).client()
    }

    /// A socket of the user on a node, resuming after `seen`.
    async fn resume(&self, node: usize, seen: i64) -> Socket {
        let mut socket = self.process(node).socket().await;
        let content = json!({ "customerId": self.user, "chatId": self.chat, "since": seen });
        socket
            .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
            .await;
        socket
    }

    async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            let (status, _) = node.stop().await;
            assert!(status.success(), "{status}");
        }
    }
}

/// Sets `seen` to the last change of the frames. Checks that the changes follow each other without a gap.
fn follow(seen: &mut i64, frames: &[Value]) {
    for seq in frames.iter().filter_map(change) {
        assert_eq!(seq, *seen + 1, "in order, without a hole, nothing twice");
        *seen = seq;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_killed_node_loses_nothing() {
    let mut fleet = Fleet::start().await;
    let mut watcher = fleet.resume(2, 0).await;
    let mut sender = fleet.process(0).socket().await;
    sender.enter(fleet.user, fleet.chat).await;
    let texts: Vec<String> = (0..100).map(|n| format!("before {n}")).collect();
    let acks = sender.say_all(fleet.chat, &texts).await;
    let doomed = fleet.nodes[0].take().expect("a running node");
    doomed.kill().await;
    let last = fleet.client(1).say(fleet.user, fleet.chat, "after").await;
    let frames = watcher
        .frames_until(|frame| change(frame) == last["seq"].as_i64())
        .await;
    let mut seen = 0;
    follow(&mut seen, &frames);
    assert_eq!(seen, acks.len() as i64 + 1);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres and NATS: scripts/with-postgres cargo test"]
async fn a_rolling_restart_loses_nothing() {
    let mut fleet = Fleet::start().await;
    let mut seen = 0;
    let mut acked = BTreeSet::new();
    for node in 0..3 {
        let (here, there) = (node, (node + 1) % 3);
        let mut socket = fleet.resume(here, seen).await;
        let before = socket.frames_until(|frame| frame["id"] == "resume").await;
        follow(&mut seen, &before);
        let said = fleet.client(here).say(fleet.user, fleet.chat, "here").await;
        acked.insert(said["messageId"].as_i64());
        // The node stops while messages are sent through another node.
        let stopping = fleet.nodes[node].take().expect("a running node");
        let client = fleet.client(there);
        let (user, chat) = (fleet.user, fleet.chat);
        let saying = async {
            let mut ids = Vec::new();
            for n in 0..50 {
                let said = client.say(user, chat, &format!("{node} {n}")).await;
                ids.push(said["messageId"].as_i64());
            }
            ids
        };
        let ((status, _), said, code) = tokio::join!(stopping.stop(), saying, async {
            let mut frames = Vec::new();
            let code = read_to_the_end(&mut socket, &mut frames).await;
            follow(&mut seen, &frames);
            code
        });
        assert!(status.success(), "{status}");
        assert_eq!(code, 1012);
        acked.extend(said);
        fleet.launch(node).await;
    }
    let mut socket = fleet.resume(0, seen).await;
    let rest = socket.frames_until(|frame| frame["id"] == "resume").await;
    follow(&mut seen, &rest);
    let stored = history(&fleet.client(1), fleet.chat).await;
    let stored: BTreeSet<_> = stored.iter().map(|m| m["messageId"].as_i64()).collect();
    assert_eq!(stored, acked);
    assert_eq!(seen, acked.len() as i64);
    fleet.stop().await;
}

/// Collects every text frame up to the close frame. Returns the code of the close frame.
async fn read_to_the_end(socket: &mut Socket, frames: &mut Vec<Value>) -> u16 {
    use tokio_tungstenite::tungstenite::Message;
    patiently("the end of a socket", async {
        loop {
            match socket.next_raw().await {
                Some(Message::Text(text)) => {
                    frames.push(serde_json::from_str(&text).expect("a frame of JSON"));
                }
                Some(Message::Close(Some(close))) => return close.code.into(),
                Some(_) => {}
                None => return 1006,
            }
        }
    })
    .await
}
