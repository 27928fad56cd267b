//! Four users of different roles, and for each cell a new chat with a message.

use serde_json::Value;
use testkit::{Person, Server};
use uuid::Uuid;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not signed in.
    Anonymous,
    /// Not in the chat.
    Stranger,
    /// In the chat.
    Member,
    /// Runs the chat.
    Admin,
    /// The user that the request is about.
    Own,
}

impl Role {
    /// In the order of the columns.
    pub const ALL: [Self; 5] = [
        Self::Anonymous,
        Self::Stranger,
        Self::Member,
        Self::Admin,
        Self::Own,
    ];
}

/// The four users and their server.
pub struct Actors {
    /// The server.
    pub server: Server,
    stranger: Person,
    member: Person,
    admin: Person,
    /// The user that requests are about.
    pub own: Person,
}

/// What one cell is about.
pub struct Scene {
    /// A chat that the admin made.
    pub chat: i64,
    /// A message in it by the user that requests are about.
    pub message: i64,
    /// A part of the chat's name and of the message's text, which members alone see.
    pub secret: String,
    /// A session of the user that requests are about.
    pub session: i64,
    /// A user outside the chat.
    pub newcomer: i64,
}

fn new_name(role: &str) -> String {
    format!("{role} {}", Uuid::new_v4())
}

impl Actors {
    /// Makes the users and signs them in.
    pub async fn sign_up(server: Server) -> Self {
        Self {
            stranger: server.person(&new_name("stranger")).await,
            member: server.person(&new_name("member")).await,
            admin: server.person(&new_name("admin")).await,
            own: server.person(&new_name("self")).await,
            server,
        }
    }

    /// The user of a role; none for callers without a session.
    pub fn person(&self, role: Role) -> Option<&Person> {
        match role {
            Role::Anonymous => None,
            Role::Stranger => Some(&self.stranger),
            Role::Member => Some(&self.member),
            Role::Admin => Some(&self.admin),
            Role::Own => Some(&self.own),
        }
    }

    /// The stored state of a scene, read with full rights: the chat, its members, its messages, its log, the user
    /// that requests are about, the read position and the sessions of that user.
    pub async fn state(&self, scene: &Scene) -> Vec<Value> {
        let Scene { chat, message, .. } = scene;
        let mut state = Vec::new();
        for path in [
            format!("/chat/{chat}"),
            format!("/user/chat/{chat}"),
            format!("/chat/{chat}/message?since=0"),
            format!("/chat/{chat}/change"),
            format!("/message/{message}"),
            format!("/user/{}", self.own.id),
        ] {
            state.push(self.admin.client.get(&path).await.expect(200));
        }
        // The latest active chats come first, this one among them.
        let list = format!("/user/{}/chat", self.own.id);
        state.push(self.own.client.get(&list).await.expect(200));
        for session in self.own.client.list("/session").await {
            state.push(session["sessionId"].clone());
        }
        state
    }

    /// A new scene. A user without a session, or deleted in the last scene, is replaced.
    pub async fn scene(&mut self) -> Scene {
        for (person, role) in [
            (&mut self.stranger, "stranger"),
            (&mut self.member, "member"),
            (&mut self.admin, "admin"),
            (&mut self.own, "self"),
        ] {
            if person.client.get("/me").await.status != 200 {
                *person = self.server.person(&new_name(role)).await;
            }
        }
        let secret = Uuid::new_v4().simple().to_string();
        let chat = self.admin.chat(&format!("secret {secret}")).await;
        self.admin.add(chat, &self.member, "participant").await;
        self.admin.add(chat, &self.own, "participant").await;
        let message = self.own.say(chat, &format!("secret {secret}")).await;
        let sessions = self.own.client.list("/session").await;
        let current = sessions.iter().find(|session| session["current"] == true);
        let session = current.and_then(|session| session["sessionId"].as_i64());
        Scene {
            chat,
            message,
            secret,
            session: session.expect("a session"),
            newcomer: self.stranger.id,
        }
    }
}
