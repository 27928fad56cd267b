//! A server with one chat and two users, and the steps of their sockets.

use super::{Client, RawHttp, Server, Socket, Store, patiently};
use serde_json::{Value, json};

/// The number of frames that a socket sends before it reads their acks. More could fill the buffers of
/// both sides.
const BURST: usize = 50;

/// A server, one chat, and two users that are not its members yet.
pub struct Room {
    /// The server.
    pub server: Server,
    /// Its REST client.
    pub client: Client,
    /// The chat.
    pub chat: i64,
    /// A user called carl.
    pub carl: i64,
    /// A user called sigmund.
    pub sigmund: i64,
}

impl Room {
    /// Opens one.
    pub async fn open(store: Store) -> Self {
        Self::open_with(store, &[]).await
    }

    /// Opens one on a server with these flags.
    pub async fn open_with(store: Store, flags: &[&str]) -> Self {
        let server = Server::start_with(store, flags).await;
        let client = server.client();
        let carl = client.new_user("carl").await;
        let sigmund = client.new_user("sigmund").await;
        let chat = client.new_chat("general").await;
        Self {
            server,
            client,
            chat,
            carl,
            sigmund,
        }
    }

    /// Opens one of which both users are members already, so that connecting takes no number.
    pub async fn of_members(store: Store) -> Self {
        Self::of_members_with(store, &[]).await
    }

    /// Opens one of which both users are members already, on a server with these flags.
    pub async fn of_members_with(store: Store, flags: &[&str]) -> Self {
        let room = Self::open_with(store, flags).await;
        room.settle().await;
        room
    }

    /// Makes both users members of the chat, as if they had been its members before memberships took numbers.
    pub async fn settle(&self) {
        let database = &self.server.database;
        for user in [self.carl, self.sigmund] {
            database.settle(self.chat, user).await;
        }
    }

    /// A new socket of a user, connected to the chat.
    pub async fn enter(&self, user: i64) -> Socket {
        let mut socket = self.server.socket().await;
        socket.enter(user, self.chat).await;
        socket
    }

    /// A new socket of a user that resumes after `since`, the frames before its ack without `join`, and
    /// the ack's content.
    pub async fn resume(&self, user: i64, since: i64) -> (Socket, Vec<Value>, Value) {
        let mut socket = self.server.socket().await;
        let content = json!({ "customerId": user, "chatId": self.chat, "since": since });
        socket
            .send(json!({ "type": "connect-chat", "id": "resume", "content": content }))
            .await;
        let mut frames = socket.frames_until(|frame| frame["id"] == "resume").await;
        let ack = frames.pop().expect("the ack");
        assert_eq!(ack["type"], "ack", "{ack}");
        frames.retain(|frame| frame["type"] != "join");
        (socket, frames, ack["content"].clone())
    }

    /// Carl sends a message by REST.
    pub async fn say(&self, text: &str) -> Value {
        self.client.say(self.carl, self.chat, text).await
    }

    /// Every message of the chat in its present state, by `seq`.
    pub async fn history(&self) -> Vec<Value> {
        history(&self.client, self.chat).await
    }

    /// A bare connection to the server.
    pub async fn raw_http(&self) -> RawHttp {
        RawHttp::open(self.server.address).await
    }

    /// Checks that the server still serves the two users, over REST and over a socket.
    pub async fn still_serves(&self) {
        let mut socket = self.enter(self.sigmund).await;
        let said = self.say("Is anybody there?").await;
        let heard = socket.expect("send-message").await;
        assert_eq!(heard["content"], said);
        socket.say(self.chat, "We are.").await;
    }

    /// Stops the server.
    pub async fn close(self) {
        self.server.stop().await;
    }
}

/// Every message of a chat in its present state, by `seq`, read page by page.
pub async fn history(client: &Client, chat: i64) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let since = all.last().map_or(0, |message| number(message, "seq"));
        let path = format!("/chat/{chat}/message?since={since}&limit=1000");
        let page = client.get(&path).await.expect(200);
        let page = page.as_array().expect("a list");
        all.extend_from_slice(page);
        // A page that is not full may be one of long texts.
        if page.is_empty() {
            return all;
        }
    }
}

/// A number of an object.
pub fn number(object: &Value, field: &str) -> i64 {
    object[field]
        .as_i64()
        .unwrap_or_else(|| panic!("no number {field} in {object}"))
}

/// The `seq` of the change in a broadcast; none if the broadcast is not about a change. A message in it must have
/// the same `seq` and chat.
pub fn change(frame: &Value) -> Option<i64> {
    let seq = frame["seq"].as_i64();
    for field in ["seq", "chatId"] {
        let own = frame["content"].get(field);
        let same = own.is_none() || seq.is_none() || own == frame.get(field);
        assert!(same, "{frame}");
    }
    seq
}

/// The broadcast of a sent or an edited message.
pub fn told(kind: &str, message: &Value) -> Value {
    json!({
        "type": kind, "content": message, "chatId": message["chatId"],
        "customerId": message["customerId"], "seq": message["seq"]
    })
}

impl Socket {
    /// Connects to a chat and waits for the ack and the socket's own `join`, in either order; gives the
    /// ack's content.
    pub async fn enter(&mut self, user: i64, chat: i64) -> Value {
        let content = json!({ "customerId": user, "chatId": chat });
        self.enter_with(content).await
    }

    /// Connects with this content of `connect-chat`.
    pub async fn enter_with(&mut self, content: Value) -> Value {
        let (user, chat) = (content["customerId"].clone(), content["chatId"].clone());
        self.send(json!({ "type": "connect-chat", "id": "enter", "content": content }))
            .await;
        let own = |frame: &Value| {
            frame["type"] == "join" && frame["customerId"] == user && frame["chatId"] == chat
        };
        let (mut acks, mut joined) = (Vec::new(), false);
        while acks.is_empty() || !joined {
            let mut frames = self
                .frames_until(|frame| frame["id"] == "enter" || own(frame))
                .await;
            joined |= frames.last().is_some_and(own);
            acks.extend(frames.pop().filter(|frame| frame["id"] == "enter"));
        }
        let ack = acks.remove(0);
        assert_eq!(ack["type"], "ack", "{ack}");
        ack["content"].clone()
    }

    /// Sends a message and waits for its ack; gives the message.
    pub async fn say(&mut self, chat: i64, text: &str) -> Value {
        self.ask("send-message", json!({ "chatId": chat, "content": text }))
            .await
    }

    /// Sends messages without a wait for each ack; gives the acks' contents.
    pub async fn say_all(&mut self, chat: i64, texts: &[String]) -> Vec<Value> {
        let mut acks = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BURST) {
            for (n, text) in texts.iter().enumerate() {
                let content = json!({ "chatId": chat, "content": text });
                self.send(json!({ "type": "send-message", "id": n, "content": content }))
                    .await;
            }
            for n in 0..texts.len() {
                let ack = self.until("ack").await;
                assert_eq!(ack["id"], n, "acks come in the order of the frames");
                acks.push(ack["content"].clone());
            }
        }
        acks
    }

    /// Sends a frame with an id that must be refused with this code, passing over broadcasts.
    pub async fn refused(&mut self, kind: &str, content: Value, code: &str) {
        self.send(json!({ "type": kind, "id": "refused", "content": content }))
            .await;
        let frames = self.frames_until(|frame| frame["id"] == "refused").await;
        let answer = frames.last().expect("an answer");
        assert_eq!(
            (&answer["type"], &answer["content"]["code"]),
            (&json!("error"), &json!(code)),
            "{kind} {content}: {answer}"
        );
    }

    /// All frames up to the last one, which is included.
    pub async fn frames_until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        // Heartbeats may go on for ever, so the whole is waited for, not each frame.
        let gathering = async {
            while frames.last().is_none_or(|frame| !is_last(frame)) {
                frames.push(self.next().await);
            }
        };
        patiently("the last of some frames", gathering).await;
        frames
    }

    /// All frames before the message with this text. Frames of a chat come in order, so that none from
    /// before the message is still to come.
    pub async fn frames_before(&mut self, text: &str) -> Vec<Value> {
        let mut frames = self
            .frames_until(|frame| {
                frame["type"] == "send-message" && frame["content"]["content"] == text
            })
            .await;
        frames.pop();
        frames
    }
}
