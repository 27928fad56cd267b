//! Somebody signed in, for servers where everyone must be.

use super::{Client, Server, Socket, Store};
use serde_json::{Value, json};

/// What everyone's password is, unless a test says otherwise.
pub const PASSWORD: &str = "correct horse";

/// A user with a session of their own.
pub struct Person {
    /// Who.
    pub id: i64,
    /// By which name.
    pub name: String,
    /// What they prove it with.
    pub token: String,
    /// A client that does.
    pub client: Client,
    server: Client,
}

impl Server {
    /// Starts one on a new, empty database, where everyone must sign in. Rates have tests of their
    /// own; here a fast machine would only run into them by chance.
    pub async fn start_required(store: Store) -> Self {
        Self::start_with(store, &["--auth=required", "--rate-limit=off"]).await
    }

    /// Signs somebody up, and in.
    pub async fn person(&self, name: &str) -> Person {
        Person::sign_up(&self.client(), name).await
    }
}

impl Person {
    /// Signs somebody up, and in, by this client.
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

    /// The same user with another session.
    pub async fn again(&self) -> Self {
        Self::sign_in(&self.server, self.id, &self.name).await
    }

    /// A new chat that they run.
    pub async fn chat(&self, name: &str) -> i64 {
        self.client.new_chat(name).await
    }

    /// They add somebody to a chat, with this role.
    pub async fn add(&self, chat: i64, other: &Self, role: &str) {
        let path = format!("/chat/{chat}/user/{}", other.id);
        let reply = self.client.put(&path, json!({ "role": role })).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }

    /// They send a message by REST; gives its id.
    pub async fn say(&self, chat: i64, text: &str) -> i64 {
        let body = json!({ "content": text });
        let path = format!("/chat/{chat}/message");
        let message = self.client.post(&path, body).await.expect(201);
        message["messageId"].as_i64().expect("an id")
    }

    /// The content of `connect-chat` that proves who they are.
    pub fn connect(&self, chat: i64) -> Value {
        json!({ "chatId": chat, "token": self.token })
    }

    /// A new socket of theirs, connected to the chat.
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
        self.post("/login", body).await.expect(200)
    }
}
