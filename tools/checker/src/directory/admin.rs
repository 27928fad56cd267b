//! One admin: it signs users up, runs chats and manages their members. No other client changes its
//! users and chats, so each answer determines the data that must be stored.

use super::{
    compare,
    model::{Model, Named, Role, UserId},
};
use crate::{
    phase::Phase,
    record::{ChatId, Outcome},
    rest::{Reply, Rest},
    violation::ViolationKind,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{sync::watch, time};

/// Milliseconds between two operations: most of the server's time is left to the clients that send.
const PAUSE: std::ops::Range<u64> = 5..60;
/// The number of immediate retries of a sign-up in doubt.
const RETRIES: u32 = 4;
/// The password of every user. The server hashes it, so sign-ups are rarer than other operations.
const PASSWORD: &str = "a long password";

/// An admin and its model.
pub struct Admin {
    pub rest: Rest,
    pub rng: fastrand::Rng,
    pub phase: watch::Receiver<Phase>,
    pub model: Model,
    /// The number of the last generated name.
    pub next: u32,
}

impl Admin {
    /// Works until the round ends.
    pub async fn run(mut self) -> Model {
        while *self.phase.borrow() == Phase::Working {
            self.operate().await;
            time::sleep(Duration::from_millis(self.rng.u64(PAUSE))).await;
        }
        self.model
    }

    async fn operate(&mut self) {
        let (users, chats) = (self.model.users.living(), self.model.chats.living());
        // The first user is an admin of every chat and is never deleted, so every chat has an admin.
        let Some((&founder, others)) = users.split_first() else {
            return self.sign_up().await;
        };
        let others = others.to_vec();
        let (user, chat) = (self.rng.choice(others), self.rng.choice(chats));
        let role = [None, Some(Role::Admin), Some(Role::Participant)][self.rng.usize(0..3)];
        match (self.rng.u32(0..100), user, chat) {
            (0..8, ..) => self.sign_up().await,
            (8..16, ..) => self.make_chat(founder).await,
            (16..24, ..) => self.rename_user(user.unwrap_or(founder)).await,
            (24..32, _, Some(chat)) => self.rename_chat(chat).await,
            (32..35, Some(user), _) => self.delete_user(user).await,
            (35..38, _, Some(chat)) => self.delete_chat(chat).await,
            (38..68, Some(user), Some(chat)) => self.set_member(chat, user, role).await,
            (68..84, Some(user), Some(chat)) => self.remove_member(chat, user).await,
            (84..95, _, Some(chat)) => self.read_chat(chat).await,
            _ => self.read_user(user.unwrap_or(founder)).await,
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{}{what} {}", self.model.prefix(), self.next)
    }

    /// Sends a request and counts its outcome.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let reply = self.rest.call(method, path, body).await;
        let counts = &mut self.model.counts;
        match &reply {
            Reply::Done(..) => counts.acked += 1,
            Reply::Refused { code, sentence } => {
                counts.refused += 1;
                if code == "internal" {
                    self.model
                        .report(ViolationKind::Internal, format!("{path}: {sentence}"));
                }
            }
            Reply::InDoubt => counts.in_doubt += 1,
        }
        reply
    }

    /// Judges the answer to an operation on a user or chat that certainly exists. Only a temporary
    /// failure may be refused.
    pub(super) fn ended(&mut self, what: &str, reply: &Reply) -> Outcome {
        match reply {
            Reply::Done(..) => Outcome::Acked,
            Reply::InDoubt => Outcome::InDoubt,
            Reply::Refused { code, sentence } => {
                if code.ends_with("_not_found") {
                    self.model
                        .report(ViolationKind::Lost, format!("{what}: {sentence}"));
                } else if !["unavailable", "internal"].contains(&code.as_str()) {
                    let text = format!("{what}: {code}: {sentence}");
                    self.model.report(ViolationKind::Unexplained, text);
                }
                Outcome::Refused
            }
        }
    }

    /// Signs a user up. Retries under that name if the sign-up is in doubt or refused.
    async fn sign_up(&mut self) {
        let name = self.name("user");
        self.model.counts.sign_ups += 1;
        let body = json!({ "username": name, "password": PASSWORD });
        let (mut refused, mut doubt) = (false, false);
        for _ in 0..RETRIES {
            let reply = self.ask(Method::POST, "/user", Some(body.clone())).await;
            match reply {
                Reply::Done(_, user) => return self.created("user", &name, &user),
                Reply::Refused { code, .. } if code == "username_taken" && doubt => {
                    return self.find_again(name).await;
                }
                Reply::Refused { code, .. } if code == "internal" => {
                    return self.model.users.in_doubt.push(name);
                }
                Reply::Refused { code, sentence } if code != "unavailable" => {
                    let text = format!("signing {name:?} up: {code}: {sentence}");
                    return self.model.report(ViolationKind::Unexplained, text);
                }
                Reply::Refused { .. } => refused = true,
                Reply::InDoubt => doubt = true,
            }
            if self.rng.bool() {
                break;
            }
            time::sleep(Duration::from_millis(self.rng.u64(10..500))).await;
        }
        match doubt {
            true => self.model.users.in_doubt.push(name),
            false if refused => self.model.users.refused.push(name),
            false => {}
        }
    }

    /// Looks up the user of a sign-up in doubt after its name turned out to be taken.
    async fn find_again(&mut self, name: String) {
        let path = format!("/user/username/{}", name.replace(' ', "%20"));
        match self.ask(Method::GET, &path, None).await {
            Reply::Done(_, user) => self.created("user", &name, &user),
            Reply::Refused { code, .. } if code == "user_not_found" => {
                let text = format!("the name {name:?} is taken, and no user has it");
                self.model.report(ViolationKind::Lost, text);
            }
            _ => self.model.users.in_doubt.push(name),
        }
    }

    fn created(&mut self, what: &str, name: &str, answer: &Value) {
        let (id, told) = match what {
            "user" => (answer["customerId"].as_i64(), answer["username"].as_str()),
            _ => (answer["chatId"].as_i64(), answer["chatName"].as_str()),
        };
        match id {
            Some(id) if told == Some(name) => self.named(what).create(id, name),
            _ => {
                let text = format!("a new {what} {name:?} was answered with {answer}");
                self.model.report(ViolationKind::Unexplained, text);
            }
        }
    }

    fn named(&mut self, what: &str) -> &mut Named {
        match what {
            "user" => &mut self.model.users,
            _ => &mut self.model.chats,
        }
    }

    /// Creates a chat with the founder as its admin.
    async fn make_chat(&mut self, founder: UserId) {
        let name = self.name("chat");
        self.model.counts.chats_made += 1;
        let body = json!({ "chatName": name });
        match self.ask(Method::POST, "/chat", Some(body)).await {
            Reply::Done(_, chat) => {
                self.created("chat", &name, &chat);
                if let Some(chat) = chat["chatId"].as_i64() {
                    self.set_member(chat, founder, Some(Role::Admin)).await;
                }
            }
            Reply::InDoubt => self.model.chats.in_doubt.push(name),
            reply => {
                self.ended("making a chat", &reply);
                self.model.chats.refused.push(name);
            }
        }
    }

    async fn rename_user(&mut self, user: UserId) {
        self.model.counts.users_changed += 1;
        let name = self.name("user");
        let body = json!({ "username": name });
        self.rename("user", user, name, body).await;
    }

    async fn rename_chat(&mut self, chat: ChatId) {
        self.model.counts.chats_renamed += 1;
        let name = self.name("chat");
        let body = json!({ "chatName": name });
        self.rename("chat", chat, name, body).await;
    }

    async fn rename(&mut self, what: &str, id: i64, name: String, body: Value) {
        let path = format!("/{what}/{id}");
        let reply = self.ask(Method::PUT, &path, Some(body)).await;
        let ended = self.ended(&format!("renaming {what} {id}"), &reply);
        if what == "chat" && ended != Outcome::Refused {
            self.model.number(id, ended == Outcome::Acked);
        }
        let named = self.named(what);
        match (ended, named.known.get_mut(&id)) {
            (Outcome::Acked, Some(register)) => register.write(Some(name)),
            (Outcome::InDoubt, Some(register)) => register.write_in_doubt(Some(name)),
            _ => named.refused.push(name),
        }
    }

    async fn delete_user(&mut self, user: UserId) {
        self.model.counts.users_deleted += 1;
        let certain = self.delete("user", user).await;
        if let Some(certain) = certain {
            self.model.number_deletion(user, certain);
            self.model.inherit(user);
            self.model.end_members(|_, member| member == user, certain);
        }
    }

    async fn delete_chat(&mut self, chat: ChatId) {
        self.model.counts.chats_deleted += 1;
        let certain = self.delete("chat", chat).await;
        if let Some(certain) = certain {
            self.model.end_members(|of, _| of == chat, certain);
        }
    }

    /// Deletes a user or chat. Returns true if the deletion is certain, false if it is in doubt, and
    /// `None` if it was refused.
    async fn delete(&mut self, what: &str, id: i64) -> Option<bool> {
        let reply = self
            .ask(Method::DELETE, &format!("/{what}/{id}"), None)
            .await;
        let ended = self.ended(&format!("deleting {what} {id}"), &reply);
        let register = self.named(what).known.get_mut(&id)?;
        match ended {
            Outcome::Acked => register.write(None),
            Outcome::InDoubt => register.write_in_doubt(None),
            Outcome::Refused => return None,
        }
        Some(ended == Outcome::Acked)
    }

    async fn read_user(&mut self, user: UserId) {
        self.model.counts.reads += 1;
        match self
            .rest
            .call(Method::GET, &format!("/user/{user}"), None)
            .await
        {
            Reply::Done(_, found) => {
                compare::entry(&mut self.model, "user", user, found["username"].as_str())
            }
            reply => drop(self.ended(&format!("reading user {user}"), &reply)),
        }
    }
}
