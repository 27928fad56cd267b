//! Acts: the changes of memberships and of chats that clients ask for, in the chats in which they also send.
//! Each client alone changes its own membership and those of its guest, a user without a socket. All clients
//! rename the chats.

use crate::{
    client::Client,
    directory::Role,
    journal::Journal,
    record::{ChatId, OpId, UserId},
    rest::Reply,
    violation::ViolationKind,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// The beginning of each name that an act gives to a chat.
const NAME: &str = "named ";

/// The clock of all clients. It orders the acts by their beginnings and ends.
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// The request of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a user a member, or change the role of one. `None` is a participant, or the role that the member has.
    Set(UserId, Option<Role>),
    /// End a membership.
    Remove(UserId),
    /// Delete a user, which ends the membership.
    Delete(UserId),
    /// Connect to the chat, which makes the user a participant.
    Join(UserId),
    /// Give the chat the name, the topic and the data of this act.
    Rename,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has no clear answer. It may happen at any later time, or never.
    InDoubt,
    /// It changed nothing.
    Nothing,
    /// The state is as requested. It may have been so before.
    Done,
    /// It changed the state.
    Changed,
}

/// An act.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    pub id: OpId,
    pub chat: ChatId,
    pub request: Request,
    pub ending: Ending,
    /// The time at which it was begun.
    pub begun: u64,
    /// The time of its answer. `u64::MAX` if it is in doubt.
    pub ended: u64,
}

impl Act {
    /// The role after the act, and the user that is named as its author. `None` for a rename.
    pub fn effect(&self) -> Option<(Option<Role>, Option<UserId>)> {
        match self.request {
            Request::Set(_, role) => Some((role.or(Some(Role::Participant)), None)),
            Request::Remove(_) => Some((None, None)),
            Request::Delete(user) => Some((None, Some(user))),
            Request::Join(user) => Some((Some(Role::Participant), Some(user))),
            Request::Rename => None,
        }
    }

    /// The user of the membership. `None` for a rename.
    pub fn user(&self) -> Option<UserId> {
        match self.request {
            Request::Set(user, _)
            | Request::Remove(user)
            | Request::Delete(user)
            | Request::Join(user) => Some(user),
            Request::Rename => None,
        }
    }

    /// True if the act may have changed something.
    pub fn is_possible(&self) -> bool {
        self.ending != Ending::Nothing
    }

    /// True if the act was answered and may have changed something.
    pub fn is_acked(&self) -> bool {
        matches!(self.ending, Ending::Done | Ending::Changed)
    }
}

/// The name that an act gives to a chat.
fn name(act: OpId) -> String {
    format!("{NAME}{}", act.key())
}

/// The topic that an act gives to a chat.
pub fn topic(act: OpId) -> String {
    format!("topic of {}", act.key())
}

/// The act that gave a chat this name.
pub fn of_name(name: &str) -> Option<OpId> {
    OpId::from_key(name.strip_prefix(NAME)?)
}

impl Journal {
    /// Records an act before it is sent. It is in doubt until it ends.
    pub fn begin_act(&mut self, chat: ChatId, request: Request) -> OpId {
        let id = OpId {
            client: self.client,
            number: self.acted,
        };
        self.acted += 1;
        self.acts.push(Act {
            id,
            chat,
            request,
            ending: Ending::InDoubt,
            begun: CLOCK.fetch_add(1, Ordering::Relaxed),
            ended: u64::MAX,
        });
        id
    }

    /// Records the end of an act.
    pub fn end_act(&mut self, id: OpId, ending: Ending) {
        let act = self.acts.iter_mut().rev().find(|act| act.id == id);
        if let (Some(act), true) = (act, ending != Ending::InDoubt) {
            act.ending = ending;
            act.ended = CLOCK.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// True if an act may have removed the client itself from the chat.
    pub fn was_removed(&self, chat: ChatId) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|act| {
            act.chat == chat && act.request == Request::Remove(self.user) && act.is_possible()
        })
    }

    /// True if an act may remove the client itself from the chat at any time. `None` is any chat.
    pub fn may_be_removed(&self, chat: Option<ChatId>) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|act| {
            chat.is_none_or(|chat| act.chat == chat)
                && act.request == Request::Remove(self.user)
                && act.ending == Ending::InDoubt
        })
    }
}

impl Client {
    /// Performs a random act in the chat.
    pub async fn act(&mut self, chat: ChatId) {
        match self.rng.u32(0..100) {
            0..40 => self.set_guest(chat).await,
            40..60 => self.remove_guest(chat).await,
            60..64 => self.delete_guest().await,
            64..90 => self.rename(chat).await,
            _ => self.remove_member(chat, self.journal.user).await,
        }
    }

    async fn set_guest(&mut self, chat: ChatId) {
        let Some(guest) = self.guest().await else {
            return;
        };
        let role = [None, Some(Role::Admin), Some(Role::Participant)][self.rng.usize(0..3)];
        let act = self.journal.begin_act(chat, Request::Set(guest, role));
        let body = role.map_or_else(|| json!({}), |role| json!({ "role": role.as_str() }));
        let path = format!("/chat/{chat}/user/{guest}");
        let reply = self.rest.call(Method::PUT, &path, Some(body)).await;
        if let Reply::Done(status, member) = &reply {
            let told = member["role"].as_str().and_then(Role::parse);
            let expected = match *status == StatusCode::CREATED {
                true => role.or(Some(Role::Participant)),
                false => role.or(told),
            };
            if told.is_none() || told != expected {
                let text = format!("setting {path} to {role:?} was answered {status} {member}");
                self.journal.report(ViolationKind::Unexplained, text);
            }
        }
        let ending = match &reply {
            Reply::Done(StatusCode::CREATED, _) => Ending::Changed,
            Reply::Done(..) if role.is_none() => Ending::Nothing,
            _ => Ending::Done,
        };
        self.note_end(act, &reply, ending, &path);
    }

    async fn remove_guest(&mut self, chat: ChatId) {
        if let Some(guest) = self.journal.guest {
            self.remove_member(chat, guest).await;
        }
    }

    async fn remove_member(&mut self, chat: ChatId, user: UserId) {
        let act = self.journal.begin_act(chat, Request::Remove(user));
        let path = format!("/chat/{chat}/user/{user}");
        let reply = self.rest.call(Method::DELETE, &path, None).await;
        match &reply {
            Reply::Refused { code, .. } if code == "member_not_found" => {
                self.journal.end_act(act, Ending::Nothing);
            }
            _ => self.note_end(act, &reply, Ending::Changed, &path),
        }
    }

    async fn delete_guest(&mut self) {
        let Some(guest) = self.journal.guest.take() else {
            return;
        };
        let mut acts = Vec::new();
        for &chat in &self.chats {
            acts.push(self.journal.begin_act(chat, Request::Delete(guest)));
        }
        let path = format!("/user/{guest}");
        let reply = self.rest.call(Method::DELETE, &path, None).await;
        for act in acts {
            self.note_end(act, &reply, Ending::Done, &path);
        }
    }

    async fn rename(&mut self, chat: ChatId) {
        let act = self.journal.begin_act(chat, Request::Rename);
        let body = json!({
            "chatName": name(act), "topic": topic(act), "data": { "of": act.key() }
        });
        let path = format!("/chat/{chat}");
        let reply = self.rest.call(Method::PUT, &path, Some(body)).await;
        self.note_end(act, &reply, Ending::Changed, &path);
    }

    /// Records the answer to an act on a user or chat that certainly exists. Only a temporary failure may be refused.
    fn note_end(&mut self, act: OpId, reply: &Reply, done: Ending, path: &str) {
        let ending = match reply {
            Reply::Done(..) => done,
            Reply::InDoubt => Ending::InDoubt,
            Reply::Refused { code, sentence } => {
                let kind = match code.as_str() {
                    "unavailable" => None,
                    "internal" => Some(ViolationKind::Internal),
                    code if code.ends_with("_not_found") => Some(ViolationKind::Lost),
                    _ => Some(ViolationKind::Unexplained),
                };
                if let Some(kind) = kind {
                    let text = format!("{path}: {code}: {sentence}");
                    self.journal.report(kind, text);
                }
                Ending::Nothing
            }
        };
        self.journal.end_act(act, ending);
    }

    /// The guest of this client, which is made if it is missing.
    async fn guest(&mut self) -> Option<UserId> {
        if self.journal.guest.is_none() {
            let name = format!("guest {}.{}", self.journal.client, self.journal.acted);
            self.journal.acted += 1;
            let body = json!({ "username": name, "password": "a long password" });
            if let Reply::Done(_, Value::Object(user)) =
                self.rest.call(Method::POST, "/user", Some(body)).await
            {
                self.journal.guest = user.get("customerId").and_then(Value::as_i64);
            }
        }
        self.journal.guest
    }
}
