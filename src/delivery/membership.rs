//! Membership checks and joins of connecting sockets, batched so that many sockets share one statement. Feeds
//! use them when a socket connects to a chat, and to check that it may still read.

use super::{Change, Writer, batcher::Batcher};
use crate::{
    auth::Caller,
    database::Database,
    error::Error,
    model::{ChatId, Epoch, Role, Seq, Since, UserId},
    policy,
    repository::MembershipStatus,
};
use std::future::Future;

/// A user who may connect to a chat.
#[derive(Debug)]
pub struct Connected {
    /// The user's stored name.
    pub username: String,
    /// The chat's head: the `seq` of its latest change.
    pub head: Seq,
    /// The epoch of the log that `head` belongs to.
    pub epoch: Option<Epoch>,
}

/// The handle that answers membership queries and takes joins. Clones share its queues.
#[derive(Clone)]
pub struct MembershipLoader {
    /// Queries of how a user stands to a chat.
    statuses: Batcher<(UserId, ChatId), MembershipStatus>,
    /// Users who join a chat.
    joins: Batcher<(UserId, ChatId), ()>,
}

impl MembershipLoader {
    /// Creates the handle, and the task that answers its two queues. The task ends when the last clone of the
    /// handle is dropped. Joins go through the writer, because each takes a number in its chat.
    pub fn new(
        database: Database,
        writer: Writer,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (statuses, reading) = Batcher::new(move |pairs| {
            let database = database.clone();
            async move { database.members().memberships(&pairs).await }
        });
        let (joins, joining) = Batcher::new(move |pairs| {
            let writer = writer.clone();
            async move {
                let joined = vec![(); pairs.len()];
                writer.submit(Change::Join { pairs })?.answer().await?;
                Ok(joined)
            }
        });
        let handle = Self { statuses, joins };
        (handle, async {
            tokio::join!(reading, joining);
        })
    }

    /// The user's membership status in the chat. The database is read after this call, never before it.
    ///
    /// # Errors
    /// `unavailable` if the database is.
    pub async fn ask(&self, user: UserId, chat: ChatId) -> Result<MembershipStatus, Error> {
        self.statuses.ask((user, chat)).await
    }

    /// Makes a user a member of a chat. Does nothing if the user is a member, or if the user or the chat does
    /// not exist.
    ///
    /// # Errors
    /// `unavailable` if the database is.
    pub async fn join(&self, user: UserId, chat: ChatId) -> Result<(), Error> {
        self.joins.ask((user, chat)).await
    }

    /// Checks that a user may connect to a chat. `since` is the last change that the client has; null if the
    /// client does not resume. In open mode a connect makes the user a member; otherwise the user must be a
    /// member.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`; `invalid_field` for a `since` of another epoch or beyond the head,
    /// which never decreases within an epoch; `unavailable`.
    pub async fn connect(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        since: Option<&Since>,
    ) -> Result<Connected, Error> {
        let status = self.ask(user, chat).await?;
        let role = status.role.clone().map(Role::from);
        let connected = present(status, user, chat)?;
        policy::see_chat(caller, role, chat)?;
        if let Some(since) = since {
            require_epoch(
                since.epoch.as_ref(),
                connected.epoch.as_ref(),
                "content, since",
            )?;
            if since.seq > connected.head {
                let expected = format!(
                    "at most {}, the number of the chat's latest change",
                    connected.head
                );
                return Err(Error::invalid_field("content, since,", &expected));
            }
        }
        match role {
            Some(_) => Ok(connected),
            None => self.join_now(user, chat).await,
        }
    }

    /// Makes a connecting user a member. Users who connect at once share a transaction. The head includes the new
    /// membership.
    ///
    /// # Errors
    /// `user_not_found` or `chat_not_found` if the user or the chat was deleted in the meantime;
    /// `unavailable`.
    async fn join_now(&self, user: UserId, chat: ChatId) -> Result<Connected, Error> {
        self.join(user, chat).await?;
        let status = self.ask(user, chat).await?;
        match status.role {
            Some(_) => present(status, user, chat),
            None => Err(missing(status, user, chat)),
        }
    }
}

/// The error for a missing membership: `user_not_found`, `chat_not_found`, or `member_not_found` if both
/// exist.
pub(crate) fn missing(status: MembershipStatus, user: UserId, chat: ChatId) -> Error {
    match present(status, user, chat) {
        Ok(_) => Error::member_not_found(user, chat),
        Err(missing) => missing,
    }
}

/// The facts that a connect needs from a membership status.
///
/// # Errors
/// `user_not_found`, `chat_not_found`.
fn present(status: MembershipStatus, user: UserId, chat: ChatId) -> Result<Connected, Error> {
    let username = status.username.ok_or_else(|| Error::user_not_found(user))?;
    let head = status.head.ok_or_else(|| Error::chat_not_found(chat))?;
    let epoch = status.epoch;
    Ok(Connected {
        username,
        head,
        epoch,
    })
}

/// Checks that the epoch that a client names is the present epoch of the log. A client that names none
/// passes. `place` is the name of the parameter in the error text.
///
/// # Errors
/// `invalid_field` for another epoch.
pub(crate) fn require_epoch(
    named: Option<&Epoch>,
    present: Option<&Epoch>,
    place: &str,
) -> Result<(), Error> {
    if named.is_none() || named == present {
        return Ok(());
    }
    let expected = "the present epoch of the log: an import or a restore began a new one; discard \
                    the stored state of the chat and connect without since";
    Err(Error::invalid_field(&format!("{place}, epoch,"), expected))
}
