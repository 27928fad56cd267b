//! Several servers on one database, linked by NATS.

use super::{Client, Nats, Server, Socket, Store, change, patiently};
use serde_json::{Value, json};

/// Servers on one database, with a chat and two users that are its members.
pub struct Cluster {
    /// The NATS between them.
    pub nats: Nats,
    /// The servers.
    pub nodes: Vec<Server>,
    /// The chat.
    pub chat: i64,
    /// A user called carl.
    pub carl: i64,
    /// A user called sigmund.
    pub sigmund: i64,
}

impl Cluster {
    /// Starts `count` servers, and waits until they are linked.
    pub async fn open(count: usize) -> Self {
        Self::open_with(count, &[]).await
    }

    /// Starts `count` servers with these flags.
    pub async fn open_with(count: usize, flags: &[&str]) -> Self {
        let nats = Nats::start().await;
        let url = nats.url();
        let urls: Vec<&str> = (0..count).map(|_| url.as_str()).collect();
        Self::start(nats, &urls, flags).await
    }

    /// Starts a server for each URL of the link.
    pub async fn linked_by(nats: Nats, urls: &[&str]) -> Self {
        Self::start(nats, urls, &[]).await
    }

    async fn start(nats: Nats, urls: &[&str], flags: &[&str]) -> Self {
        let mut nodes: Vec<Server> = Vec::new();
        for url in urls {
            let link = format!("--nats-url={url}");
            let flags = [flags, &[&link]].concat();
            let node = match nodes.first() {
                Some(first) => first.beside(&flags).await,
                None => Server::start_with(Store::Postgres, &flags).await,
            };
            nodes.push(node);
        }
        let client = nodes[0].client();
        let cluster = Self {
            nats,
            chat: client.new_chat("general").await,
            carl: client.new_user("carl").await,
            sigmund: client.new_user("sigmund").await,
            nodes,
        };
        let database = &cluster.nodes[0].database;
        for user in [cluster.carl, cluster.sigmund] {
            database.settle(cluster.chat, user).await;
        }
        cluster.until_link("up").await;
        cluster
    }

    /// A REST client of a node.
    pub fn client(&self, node: usize) -> Client {
        self.nodes[node].client()
    }

    /// Waits until every node's link has this state.
    pub async fn until_link(&self, state: &str) {
        for node in &self.nodes {
            until_link(&node.client(), state).await;
        }
    }

    /// A new socket of a user on a node, connected to the chat.
    pub async fn enter(&self, node: usize, user: i64) -> Socket {
        let mut socket = self.nodes[node].socket().await;
        socket.enter(user, self.chat).await;
        socket
    }

    /// Carl sends a message through a node.
    pub async fn say(&self, node: usize, text: &str) -> Value {
        self.client(node).say(self.carl, self.chat, text).await
    }

    /// Sends messages through one node until one reaches a socket of another node over the link.
    pub async fn until_heard(&self, from: usize, socket: &mut Socket) {
        patiently("a message over the link", async {
            loop {
                let said = self.say(from, "can you hear me?").await;
                let frames = socket
                    .frames_until(|frame| change(frame) >= said["seq"].as_i64())
                    .await;
                if frames
                    .last()
                    .is_some_and(|frame| frame.get("replay").is_none())
                {
                    return;
                }
            }
        })
        .await;
    }

    /// Does so from the first node, if there is a link.
    pub async fn until_heard_if(&self, linked: bool, socket: &mut Socket) {
        if linked {
            self.until_heard(0, socket).await;
        }
    }

    /// The users in the chat, as a node lists them to a user that connects and leaves again.
    pub async fn online(&self, node: usize, user: i64) -> Vec<i64> {
        let mut socket = self.nodes[node].socket().await;
        let ack = socket.enter(user, self.chat).await;
        socket.close().await;
        let online = ack["online"].as_array().expect("a list").iter();
        online
            .filter_map(|who| who["customerId"].as_i64())
            .collect()
    }

    /// Stops the servers, one after the other.
    pub async fn close(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

/// Waits until a node's link has this state.
pub async fn until_link(client: &Client, state: &str) {
    patiently(&format!("the link to be {state}"), async {
        while client.get("/health/ready").await.expect(200)["link"] != state {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The frame `join` or `leave` of a user.
pub fn passing(kind: &str, name: &str, user: i64, chat: i64) -> Value {
    json!({ "type": kind, "content": name, "chatId": chat, "customerId": user })
}
