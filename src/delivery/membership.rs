//! Memberships as sockets ask for them, many at a time.

use super::batcher::Batcher;
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, Epoch, Role, Seq, Since, UserId},
    policy,
    repository::{MemberRepository, MembershipStatus},
};
use std::future::Future;

/// A user who may connect to a chat.
#[derive(Debug)]
pub struct Connected {
    /// Their stored name.
    pub username: String,
    /// The chat's latest change.
    pub head: Seq,
    /// The epoch of the log that it counts in.
    pub epoch: Option<Epoch>,
}

/// Where sockets ask. Cloning shares it.
#[derive(Clone)]
pub struct MembershipLoader {
    standings: Batcher<(UserId, ChatId), MembershipStatus>,
    newcomers: Batcher<(UserId, ChatId), ()>,
}

impl MembershipLoader {
    /// Two queues, and the work of answering, which ends with the last clone of the handle.
    pub fn new(members: MemberRepository) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let reader = members.clone();
        let (standings, reading) = Batcher::new(move |pairs| {
            let members = reader.clone();
            async move { members.standings(&pairs).await }
        });
        let (newcomers, joining) = Batcher::new(move |pairs| {
            let members = members.clone();
            async move {
                members.join(&pairs).await?;
                Ok(vec![(); pairs.len()])
            }
        });
        let handle = Self {
            standings,
            newcomers,
        };
        (handle, async {
            tokio::join!(reading, joining);
        })
    }

    /// How the user stands to the chat, read after this was called.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn ask(&self, user: UserId, chat: ChatId) -> Result<MembershipStatus, Error> {
        self.standings.ask((user, chat)).await
    }

    /// Makes a user a member, unless they are one or there is no such user or chat.
    ///
    /// # Errors
    /// `unavailable` where the store is.
    pub async fn join(&self, user: UserId, chat: ChatId) -> Result<(), Error> {
        self.newcomers.ask((user, chat)).await
    }

    /// Lets a user connect to a chat who has seen its changes up to `since`. In open mode connecting
    /// makes one a member; otherwise one must be; `user_not_found`, `chat_not_found`;
    /// `invalid_field` for a `since` of another epoch or beyond the head, which never goes back in one.
    pub async fn connect(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        since: Option<&Since>,
    ) -> Result<Connected, Error> {
        let standing = self.ask(user, chat).await?;
        let role = standing.role.clone().map(Role::from);
        let connected = present(standing, user, chat)?;
        policy::see_chat(caller, role, chat)?;
        if let Some(since) = since {
            of_this_epoch(
                since.epoch.as_ref(),
                connected.epoch.as_ref(),
                "content, since",
            )?;
            if since.seq > connected.head {
                let expected = format!("at most {}, the chat's latest change", connected.head);
                return Err(Error::invalid_field("content, since,", &expected));
            }
        }
        if role.is_none() {
            self.join_now(user, chat).await?;
        }
        Ok(connected)
    }

    /// Makes a user a member who has connected, unless they are one by now. Without a lock: many
    /// may come at once, and there is nothing to decide.
    async fn join_now(&self, user: UserId, chat: ChatId) -> Result<(), Error> {
        self.join(user, chat).await?;
        let standing = self.ask(user, chat).await?;
        match standing.role {
            Some(_) => Ok(()),
            None => Err(missing(standing, user, chat)),
        }
    }
}

/// What is missing where there is no membership.
pub(crate) fn missing(standing: MembershipStatus, user: UserId, chat: ChatId) -> Error {
    match present(standing, user, chat) {
        Ok(_) => Error::member_not_found(user, chat),
        Err(missing) => missing,
    }
}

/// What a standing says where both user and chat exist.
fn present(standing: MembershipStatus, user: UserId, chat: ChatId) -> Result<Connected, Error> {
    let username = standing
        .username
        .ok_or_else(|| Error::user_not_found(user))?;
    let head = standing.head.ok_or_else(|| Error::chat_not_found(chat))?;
    let epoch = standing.epoch;
    Ok(Connected {
        username,
        head,
        epoch,
    })
}

/// Holds the epoch that a caller names, where they name one, against the log's.
pub(crate) fn of_this_epoch(
    named: Option<&Epoch>,
    present: Option<&Epoch>,
    place: &str,
) -> Result<(), Error> {
    if named.is_none() || named == present {
        return Ok(());
    }
    let expected = "the log's present epoch: the log began again, by an import or a restore; \
                    forget the chat's state and connect without since";
    Err(Error::invalid_field(&format!("{place}, epoch,"), expected))
}
