//! The users, chats and memberships of one admin, as the answers to its operations describe them.

use super::register::Register;
use crate::{
    record::ChatId,
    violation::{Violation, ViolationKind},
};
use serde::Serialize;
use std::collections::BTreeMap;

pub type UserId = i64;

/// The role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Admin,
    Participant,
}

/// The operations of all admins, by kind and by outcome.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub sign_ups: usize,
    pub users_changed: usize,
    pub users_deleted: usize,
    pub chats_made: usize,
    pub chats_renamed: usize,
    pub chats_deleted: usize,
    pub members_set: usize,
    pub members_removed: usize,
    pub reads: usize,
    pub acked: usize,
    pub refused: usize,
    pub in_doubt: usize,
}

/// Users or chats. Each has an id from the server and a unique name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The name of each acknowledged user or chat, by id. `None` if it is deleted.
    pub known: BTreeMap<i64, Register<Option<String>>>,
    /// Every id that the server gave, with the name of its user or chat.
    pub given: Vec<(i64, String)>,
    /// Names of creations in doubt.
    pub in_doubt: Vec<String>,
    /// Names of refused creations and renames: no user or chat may have them.
    pub refused: Vec<String>,
}

/// Everything that one admin knows.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub admin: u32,
    pub round: u32,
    pub users: Named,
    pub chats: Named,
    /// The role of a user in a chat. `None` if the user is not a member.
    pub members: BTreeMap<(ChatId, UserId), Register<Option<Role>>>,
    /// The fewest and the most changes of each chat: each takes a number of the chat's log.
    pub numbers: BTreeMap<ChatId, (i64, i64)>,
    pub counts: Counts,
    pub violations: Vec<Violation>,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Participant => "participant",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Participant]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

impl Counts {
    /// Adds the counts of another admin.
    pub fn add(&mut self, other: &Self) {
        self.sign_ups += other.sign_ups;
        self.users_changed += other.users_changed;
        self.users_deleted += other.users_deleted;
        self.chats_made += other.chats_made;
        self.chats_renamed += other.chats_renamed;
        self.chats_deleted += other.chats_deleted;
        self.members_set += other.members_set;
        self.members_removed += other.members_removed;
        self.reads += other.reads;
        self.acked += other.acked;
        self.refused += other.refused;
        self.in_doubt += other.in_doubt;
    }
}

impl Named {
    /// Records an acknowledged creation.
    pub fn create(&mut self, id: i64, name: &str) {
        self.given.push((id, name.to_owned()));
        let register = Register::new(Some(name.to_owned()));
        self.known.insert(id, register);
    }

    /// The ids that certainly exist.
    pub fn living(&self) -> Vec<i64> {
        let known = self.known.iter();
        let living = known.filter(|(_, register)| !register.may_be(Option::is_none));
        living.map(|(id, _)| *id).collect()
    }
}

impl Model {
    /// The prefix of all names of this admin.
    pub fn prefix(&self) -> String {
        format!("admin {} round {} ", self.admin, self.round)
    }

    pub fn report(&mut self, kind: ViolationKind, text: String) {
        let text = format!("admin {}: {text}", self.admin);
        self.violations.push(Violation::new(kind, text));
    }

    /// The register of a membership, created if it is missing.
    pub fn member(&mut self, chat: ChatId, user: UserId) -> &mut Register<Option<Role>> {
        let register = self.members.entry((chat, user));
        register.or_insert_with(|| Register::new(None))
    }

    /// Records a change of a chat or of a membership in it. It is possible, or even certain.
    pub fn number(&mut self, chat: ChatId, certain: bool) {
        let (least, most) = self.numbers.entry(chat).or_default();
        *least += i64::from(certain);
        *most += 1;
    }

    /// Records the changes that the deletion of a user makes to its memberships.
    pub fn number_deletion(&mut self, user: UserId, certain: bool) {
        let of_user = self
            .members
            .iter()
            .filter(|((_, member), _)| *member == user);
        let of_user = of_user.filter(|(_, register)| register.may_be(Option::is_some));
        let certainly = |register: &Register<Option<Role>>| !register.allows(&None);
        let ends: Vec<(ChatId, bool)> = of_user
            .map(|((chat, _), register)| (*chat, certain && certainly(register)))
            .collect();
        for (chat, certain) in ends {
            self.number(chat, certain);
        }
    }

    /// Records the effect of a user's deletion on roles. The server promotes a member of each chat that
    /// loses its last admin. The model does not know which one, so each member may be an admin
    /// afterwards.
    pub fn inherit(&mut self, user: UserId) {
        let is_admin = |role: &Option<Role>| *role == Some(Role::Admin);
        let of_user = self
            .members
            .iter()
            .filter(|((_, member), register)| *member == user && register.may_be(is_admin));
        let chats: Vec<ChatId> = of_user.map(|((chat, _), _)| *chat).collect();
        for chat in chats {
            let others = || (chat, UserId::MIN)..=(chat, UserId::MAX);
            let is_run = self.members.range(others()).any(|((_, member), register)| {
                *member != user && !register.may_be(|role| !is_admin(role))
            });
            if is_run {
                continue;
            }
            self.number(chat, false);
            for ((_, member), register) in self.members.range_mut(others()) {
                if *member != user && register.may_be(Option::is_some) {
                    register.write_in_doubt(Some(Role::Admin));
                }
            }
        }
    }

    /// Ends the memberships of a deleted user or chat. They are in doubt if the deletion is.
    pub fn end_members(&mut self, of: impl Fn(ChatId, UserId) -> bool, certain: bool) {
        for (&(chat, user), register) in &mut self.members {
            match of(chat, user) {
                true if certain => register.write(None),
                true => register.write_in_doubt(None),
                false => {}
            }
        }
    }
}
