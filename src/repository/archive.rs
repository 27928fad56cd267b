//! Everything that is stored, row by row and as it is, for copies of a whole database: read from one
//! moment, written in one transaction.

mod record;
mod restore;
mod snapshot;

pub use record::{
    ChatRecord, Kind, MemberRecord, MessageRecord, Record, SessionRecord, UserRecord,
};
pub use restore::Restore;
pub use snapshot::Snapshot;

use super::chat::living_chat;
use crate::{
    error::Error,
    store::{LARGEST, StoreTransaction, on},
};
use serde::{Deserialize, Serialize};
use sqlx::{query_as, query_scalar};
use std::fmt;

/// How many rows there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Users.
    pub users: i64,
    /// Chats.
    pub chats: i64,
    /// Memberships.
    pub members: i64,
    /// Messages, tombstones too.
    pub messages: i64,
    /// Sessions.
    pub sessions: i64,
}

/// The last id that was given to each kind of row, whether or not the row is still there: an id is
/// never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastIds {
    /// Of a user.
    pub user: i64,
    /// Of a chat.
    pub chat: i64,
    /// Of a message.
    pub message: i64,
    /// Of a session.
    pub session: i64,
}

impl LastIds {
    /// Notes a row, whose id must not be given again.
    pub fn note(&mut self, record: &Record) {
        let last = match record.kind() {
            Kind::User => &mut self.user,
            Kind::Chat => &mut self.chat,
            Kind::Message => &mut self.message,
            Kind::Session => &mut self.session,
            Kind::Member => return,
        };
        *last = (*last).max(record.key().0);
    }

    /// Whether further ids can be given after them, which every client reads exactly.
    #[must_use]
    pub fn leave_others(&self) -> bool {
        [self.user, self.chat, self.message, self.session]
            .iter()
            .all(|last| (0..LARGEST).contains(last))
    }

    /// Of each kind the later one.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        Self {
            user: self.user.max(other.user),
            chat: self.chat.max(other.chat),
            message: self.message.max(other.message),
            session: self.session.max(other.session),
        }
    }
}

impl Counts {
    /// Rows of all kinds.
    #[must_use]
    pub fn all(&self) -> i64 {
        self.users + self.chats + self.members + self.messages + self.sessions
    }

    /// Counts one more.
    pub fn add(&mut self, kind: Kind) {
        *match kind {
            Kind::User => &mut self.users,
            Kind::Chat => &mut self.chats,
            Kind::Member => &mut self.members,
            Kind::Message => &mut self.messages,
            Kind::Session => &mut self.sessions,
        } += 1;
    }
}

/// As people read it: `3 users, 2 chats, 4 memberships, 10 messages, 0 sessions`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            users,
            chats,
            members,
            messages,
            sessions,
        } = self;
        write!(
            f,
            "{users} users, {chats} chats, {members} memberships, {messages} messages, \
             {sessions} sessions"
        )
    }
}

/// How many passwords are not hashed yet.
async fn plain_passwords(tx: &mut StoreTransaction) -> Result<i64, Error> {
    const SQL: &str = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";
    Ok(on!(tx tx, |db| query_scalar(SQL).fetch_one(db).await)?)
}

/// What the store itself counts.
async fn count(tx: &mut StoreTransaction) -> Result<Counts, Error> {
    const SQL: &str = concat!(
        "SELECT (SELECT count(*) FROM customer) AS users, \
         (SELECT count(*) FROM chat WHERE deleted_at IS NULL) AS chats, \
         (SELECT count(*) FROM customer_chat WHERE ",
        living_chat!("customer_chat.chat_id"),
        ") AS members, (SELECT count(*) FROM message WHERE ",
        living_chat!("message.chat_id"),
        ") AS messages, (SELECT count(*) FROM session) AS sessions"
    );
    Ok(on!(tx tx, |db| query_as(SQL).fetch_one(db).await)?)
}
