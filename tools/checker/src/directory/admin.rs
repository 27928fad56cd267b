//! One admin: it signs users up, runs chats and manages their members. No other client changes its
//! users and chats, so each answer determines the data that must be stored.

use super::{
    book::{Book, Named, Role, UserId},
    look,
};
use crate::{
    phase::Phase,
    record::ChatId,
    rest::{Reply, Rest},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{sync::watch, time};

/// Milliseconds between two operations: most of the server's time is left to the clients that send.
const PAUSE: std::ops::Range<u64> = 5..60;
/// The number of immediate retries of a sign-up in doubt.
const RETRIES: u32 = 4;
/// The password of every user. The server hashes it, so sign-ups are rarer than other operations.
const PASSWORD: &str = "a long password";

/// An admin and its book.
pub struct Admin {
    pub rest: Rest,
    pub rng: fastrand::Rng,
    pub phase: watch::Receiver<Phase>,
    pub book: Book,
    /// The number of the last generated name.
    pub next: u32,
}

/// The outcome of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Acked,
    Refused,
    Doubt,
}

impl Admin {
    /// Works until the era ends.
    pub async fn run(mut self) -> Book {
        while *self.phase.borrow() == Phase::Working {
            self.act().await;
            time::sleep(Duration::from_millis(self.rng.u64(PAUSE))).await;
        }
        self.book
    }

    async fn act(&mut self) {
        let (users, chats) = (self.book.users.living(), self.book.chats.living());
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
            (84..95, _, Some(chat)) => self.look_at_chat(chat).await,
            _ => self.look_at_user(user.unwrap_or(founder)).await,
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{}{what} {}", self.book.prefix(), self.next)
    }

    /// Sends a request and counts its outcome.
    async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let reply = self.rest.call(method, path, body).await;
        let counts = &mut self.book.counts;
        match &reply {
            Reply::Done(..) => counts.acked += 1,
            Reply::Refused { code, sentence } => {
                counts.refused += 1;
                if code == "internal" {
                    self.book.violate("internal", format!("{path}: {sentence}"));
                }
            }
            Reply::Doubt => counts.in_doubt += 1,
        }
        reply
    }

    /// Judges the answer to an operation on a user or chat that certainly exists. Only a temporary
    /// failure may be refused.
    fn ended(&mut self, what: &str, reply: &Reply) -> Ended {
        match reply {
            Reply::Done(..) => Ended::Acked,
            Reply::Doubt => Ended::Doubt,
            Reply::Refused { code, sentence } => {
                if code.ends_with("_not_found") {
                    self.book.violate("lost", format!("{what}: {sentence}"));
                } else if !["unavailable", "internal"].contains(&code.as_str()) {
                    let text = format!("{what}: {code}: {sentence}");
                    self.book.violate("unexplained", text);
                }
                Ended::Refused
            }
        }
    }

    /// Signs a user up. Retries under that name if the sign-up is in doubt or refused.
    async fn sign_up(&mut self) {
        let name = self.name("user");
        self.book.counts.sign_ups += 1;
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
                    return self.book.users.doubtful.push(name);
                }
                Reply::Refused { code, sentence } if code != "unavailable" => {
                    let text = format!("signing {name:?} up: {code}: {sentence}");
                    return self.book.violate("unexplained", text);
                }
                Reply::Refused { .. } => refused = true,
                Reply::Doubt => doubt = true,
            }
            if self.rng.bool() {
                break;
            }
            time::sleep(Duration::from_millis(self.rng.u64(10..500))).await;
        }
        match doubt {
            true => self.book.users.doubtful.push(name),
            false if refused => self.book.users.refused.push(name),
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
                self.book.violate("lost", text);
            }
            _ => self.book.users.doubtful.push(name),
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
                self.book.violate("unexplained", text);
            }
        }
    }

    fn named(&mut self, what: &str) -> &mut Named {
        match what {
            "user" => &mut self.book.users,
            _ => &mut self.book.chats,
        }
    }

    /// Creates a chat with the founder as its admin.
    async fn make_chat(&mut self, founder: UserId) {
        let name = self.name("chat");
        self.book.counts.chats_made += 1;
        let body = json!({ "chatName": name });
        match self.ask(Method::POST, "/chat", Some(body)).await {
            Reply::Done(_, chat) => {
                self.created("chat", &name, &chat);
                if let Some(chat) = chat["chatId"].as_i64() {
                    self.set_member(chat, founder, Some(Role::Admin)).await;
                }
            }
            Reply::Doubt => self.book.chats.doubtful.push(name),
            reply => {
                self.ended("making a chat", &reply);
                self.book.chats.refused.push(name);
            }
        }
    }

    async fn rename_user(&mut self, user: UserId) {
        self.book.counts.users_changed += 1;
        let name = self.name("user");
        let body = json!({ "username": name });
        self.rename("user", user, name, body).await;
    }

    async fn rename_chat(&mut self, chat: ChatId) {
        self.book.counts.chats_renamed += 1;
        let name = self.name("chat");
        let body = json!({ "chatName": name });
        self.rename("chat", chat, name, body).await;
    }

    async fn rename(&mut self, what: &str, id: i64, name: String, body: Value) {
        let path = format!("/{what}/{id}");
        let reply = self.ask(Method::PUT, &path, Some(body)).await;
        let ended = self.ended(&format!("renaming {what} {id}"), &reply);
        let named = self.named(what);
        match (ended, named.known.get_mut(&id)) {
            (Ended::Acked, Some(register)) => register.write(Some(name)),
            (Ended::Doubt, Some(register)) => register.doubt(Some(name)),
            _ => named.refused.push(name),
        }
    }

    async fn delete_user(&mut self, user: UserId) {
        self.book.counts.users_deleted += 1;
        let certain = self.delete("user", user).await;
        if let Some(certain) = certain {
            self.book.inherit(user);
            self.book.end_members(|_, member| member == user, certain);
        }
    }

    async fn delete_chat(&mut self, chat: ChatId) {
        self.book.counts.chats_deleted += 1;
        let certain = self.delete("chat", chat).await;
        if let Some(certain) = certain {
            self.book.end_members(|of, _| of == chat, certain);
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
            Ended::Acked => register.write(None),
            Ended::Doubt => register.doubt(None),
            Ended::Refused => return None,
        }
        Some(ended == Ended::Acked)
    }

    /// Adds a member, or changes the role of one.
    async fn set_member(&mut self, chat: ChatId, user: UserId, role: Option<Role>) {
        self.book.counts.members_set += 1;
        let path = format!("/chat/{chat}/user/{user}");
        let body = role.map_or_else(|| json!({}), |role| json!({ "role": role.as_str() }));
        let reply = self.ask(Method::PUT, &path, Some(body)).await;
        let what = format!("setting user {user} in chat {chat} to {role:?}");
        match (self.ended(&what, &reply), reply) {
            (Ended::Acked, Reply::Done(status, member)) => {
                self.member_set(chat, user, role, status, &member);
            }
            (Ended::Doubt, _) => {
                // A request without a role keeps the role of a member.
                let value = Some(role.unwrap_or(Role::Participant));
                self.book.member(chat, user).doubt(value);
            }
            _ => {}
        }
    }

    fn member_set(
        &mut self,
        chat: ChatId,
        user: UserId,
        role: Option<Role>,
        status: StatusCode,
        member: &Value,
    ) {
        let told = member["role"].as_str().and_then(Role::parse);
        let register = self.book.member(chat, user);
        let text = format!("{register:?}, asked {role:?}, answered {status} {member}");
        let fits = match (status, role) {
            // The user was not a member before.
            (StatusCode::CREATED, _) => {
                register.allows(&None) && told == Some(role.unwrap_or(Role::Participant))
            }
            (_, Some(_)) => register.may_be(Option::is_some) && told == role,
            (_, None) => told.is_some() && register.allows(&told),
        };
        register.write(told);
        if !fits {
            let text = format!("user {user} in chat {chat}: {text}");
            self.book.violate("lost", text);
        }
    }

    async fn remove_member(&mut self, chat: ChatId, user: UserId) {
        self.book.counts.members_removed += 1;
        let path = format!("/chat/{chat}/user/{user}");
        let reply = self.ask(Method::DELETE, &path, None).await;
        let what = format!("removing user {user} from chat {chat}");
        let register = self.book.member(chat, user);
        let (was, may_not) = (format!("{register:?}"), register.allows(&None));
        let may = register.may_be(Option::is_some);
        match &reply {
            Reply::Refused { code, .. } if code == "member_not_found" => {
                if !may_not {
                    self.book
                        .violate("lost", format!("{what}: no member, was told {was}"));
                }
            }
            Reply::Done(..) if !may => {
                let text = format!("{what}: was a member, was told {was}");
                self.book.violate("unexplained", text);
            }
            Reply::Done(..) => register.write(None),
            Reply::Doubt => register.doubt(None),
            Reply::Refused { .. } => drop(self.ended(&what, &reply)),
        }
    }

    async fn look_at_chat(&mut self, chat: ChatId) {
        self.book.counts.looks += 1;
        let path = format!("/user/chat/{chat}?limit=1000");
        match self.rest.call(Method::GET, &path, None).await {
            Reply::Done(_, listed) => look::members(&mut self.book, chat, &listed),
            reply => drop(self.ended(&format!("the members of chat {chat}"), &reply)),
        }
    }

    async fn look_at_user(&mut self, user: UserId) {
        self.book.counts.looks += 1;
        match self
            .rest
            .call(Method::GET, &format!("/user/{user}"), None)
            .await
        {
            Reply::Done(_, found) => {
                look::one(&mut self.book, "user", user, found["username"].as_str())
            }
            reply => drop(self.ended(&format!("reading user {user}"), &reply)),
        }
    }
}
