//! A user with a session, for servers where every caller signs in.

use super::{Client, Server, Socket, Store};
use serde_json::{Value, json};

/// The password of every user, unless a test chooses another.
pub const PASSWORD: &str = "correct horse";

/// A user with a session of their own.
pub struct Person {
    /// The user's id.
    pub id: i64,
    /// The user's name.
    pub name: String,
    /// The session's token.
    pub token: String,
    /// A client with this token.
    pub client: Client,
    server: Client,
}

impl Server {
    /// Starts one on an empty database, where every caller signs in. Rates are not limited: a fast
    /// machine would meet the limits by chance.
    pub async fn start_required(store: Store) -> Self {
        Self::start_with(store, &["--auth=required", "--rate-limit=off"]).await
    }

    /// Makes a user and signs in.
    pub async fn person(&self, name: &str) -> Person {
        Person::sign_up(&self.client(), name).await
    }
}

impl Person {
    /// Makes a user and signs in by this client.
    pub async fn sign_up(server: &Client, name: &str) -> Self {
        let id = server.new_user(name).await;
        Self::sign_in(server, id, name).await
    }

    async fn sign_in(server: &Client, id: i64, name: &str) -> Self {
        let login = server.login(name, PASSWORD).await;
        let token = login["token"].as_str().expect("a token").to_owned();
        Self {
            id,
            name: name.to_owned(),
            client: server.with_token(&token),
            token,
            server: server.clone(),
        }
    }

    /// Another session of this user.
    pub async fn again(&self) -> Self {
        Self::sign_in(&self.server, self.id, &self.name).await
    }

    /// Makes a chat with this user as its admin.
    pub async fn chat(&self, name: &str) -> i64 {
        self.client.new_chat(name).await
    }

    /// Adds another user to a chat with this role.
    pub async fn add(&self, chat: i64, other: &Self, role: &str) {
        let path = format!("/chat/{chat}/user/{}", other.id);
        let reply = self.client.put(&path, json!({ "role": role })).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }

    /// Sends a message by REST; gives its id.
    pub async fn say(&self, chat: i64, text: &str) -> i64 {
        let body = json!({ "content": text });
        let path = format!("/chat/{chat}/message");
        let message = self.client.post(&path, body).await.expect(201);
        message["messageId"].as_i64().expect("an id")
    }

    /// The content of `connect-chat` with this token.
    pub fn connect(&self, chat: i64) -> Value {
        json!({ "chatId": chat, "token": self.token })
    }

    /// A new socket of this user, connected to the chat.
    pub async fn enter(&self, server: &Server, chat: i64) -> Socket {
        let mut socket = server.socket().await;
        socket.ask("connect-chat", self.connect(chat)).await;
        socket
    }
}

impl Client {
    /// Signs in; gives the answer.
    pub async fn login(&self, name: &str, password: &str) -> Value {
        let body = json!({ "username": name, "password": password });
        self.post_password("/login", body).await.expect(200)
    }
}
