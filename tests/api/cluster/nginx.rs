//! Three processes behind nginx, as in `docker-compose.yml`, restarted one after the other.

use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};
use testkit::until_link;
use testkit::{Client, Database, Nats, Nginx, Process, Socket, Store, change, history, patiently};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// Clients that are connected meanwhile.
const CLIENTS: usize = 6;

/// A client that comes back wherever the proxy takes it, and goes on from what it has seen.
struct Guest {
    proxy: SocketAddr,
    user: i64,
    chat: i64,
    seen: i64,
    /// The codes with which its sockets were closed.
    codes: Vec<u16>,
}

impl Guest {
    /// Listens, coming back as often as it must, until it has seen that change.
    async fn until(&mut self, done: &CancellationToken, last: impl Fn() -> Option<i64>) {
        while !(done.is_cancelled() && Some(self.seen) >= last()) {
            let Some(mut socket) = Socket::try_open(self.proxy).await else {
                continue;
            };
            let content =
                json!({ "customerId": self.user, "chatId": self.chat, "since": self.seen });
            let connect = json!({ "type": "connect-chat", "id": 1, "content": content });
            if socket.try_send(connect).await {
                self.listen(&mut socket, done, &last).await;
            }
        }
    }

    async fn listen(
        &mut self,
        socket: &mut Socket,
        done: &CancellationToken,
        last: &impl Fn() -> Option<i64>,
    ) {
        while !(done.is_cancelled() && Some(self.seen) >= last()) {
            let message = tokio::select! {
                message = socket.next_raw() => message,
                () = done.cancelled(), if !done.is_cancelled() => continue,
            };
            match message {
                Some(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).expect("a frame of JSON");
                    if let Some(seq) = change(&frame) {
                        assert_eq!(seq, self.seen + 1, "in order, no hole, nothing twice");
                        self.seen = seq;
                    }
                }
                Some(Message::Close(close)) => {
                    self.codes
                        .push(close.map_or(1005, |close| close.code.into()));
                    return;
                }
                Some(_) => {}
                None => return self.codes.push(1006),
            }
        }
    }
}

async fn launch(database: &Database, nats: &Nats, port: u16) -> Process {
    let (port, url) = (port.to_string(), nats.url());
    let settings = [
        ("PORT", port.as_str()),
        ("DATABASE_URL", database.url.as_str()),
        ("NATS_URL", &url),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("AUTH", "open"),
    ];
    let process = Process::start(database.folder.path(), &settings).await;
    until_link(&process.client(), "up").await;
    process
}

/// Sends one message after the other through the proxy until it is told to stop; a repetition is
/// the same message. Gives their ids.
async fn talk(client: Client, user: i64, chat: i64, done: CancellationToken) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    let path = format!("/chat/{chat}/message");
    for n in 0.. {
        let body = json!({ "customerId": user, "content": "on", "clientMessageId": n.to_string() });
        let message = patiently("a message that is stored", async {
            loop {
                let reply = client.try_post(&path, &body).await;
                if let Some((200 | 201, message)) = reply {
                    return message;
                }
            }
        })
        .await;
        ids.insert(message["messageId"].as_i64().expect("an id"));
        if done.is_cancelled() {
            break;
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres, NATS and nginx: scripts/with-postgres cargo test"]
async fn a_rolling_restart_behind_nginx_loses_nothing() {
    let (nats, database) = (Nats::start().await, Database::new(Store::Postgres).await);
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(launch(&database, &nats, 0).await);
    }
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let nginx = Nginx::before([addresses[0], addresses[1], addresses[2]]).await;
    let client = nodes[0].client_at(nginx.address);
    let (user, chat) = (
        client.new_user("carl").await,
        client.new_chat("general").await,
    );
    database.settle(chat, user).await;
    let (stop, done) = (CancellationToken::new(), CancellationToken::new());
    let talking = tokio::spawn(talk(client.clone(), user, chat, stop.clone()));
    let last = std::sync::Arc::new(std::sync::OnceLock::new());
    let listening: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (done, last) = (done.clone(), last.clone());
            let (proxy, seen, codes) = (nginx.address, 0, Vec::new());
            let mut guest = Guest {
                proxy,
                user,
                chat,
                seen,
                codes,
            };
            tokio::spawn(async move {
                let end = || last.get().copied();
                patiently("a guest's last message", Box::pin(guest.until(&done, end))).await;
                guest
            })
        })
        .collect();
    for address in &addresses {
        let node = nodes.remove(0);
        let (status, _) = node.stop().await;
        assert!(status.success(), "{status}");
        nodes.push(launch(&database, &nats, address.port()).await);
    }
    stop.cancel();
    let acked = talking.await.expect("all that was said");
    let stored = history(&nodes[0].client(), chat).await;
    let ids: BTreeSet<i64> = stored
        .iter()
        .filter_map(|m| m["messageId"].as_i64())
        .collect();
    assert_eq!(ids, acked);
    last.set(stored.len() as i64).expect("once");
    done.cancel();
    let mut codes = Vec::new();
    for guest in listening {
        let guest = guest.await.expect("a guest");
        assert_eq!(guest.seen, stored.len() as i64);
        codes.extend(guest.codes);
    }
    assert!(
        codes.len() >= CLIENTS,
        "each was moved at least once: {codes:?}"
    );
    assert!(codes.iter().all(|code| *code == 1012), "{codes:?}");
    for node in nodes {
        node.kill().await;
    }
}
