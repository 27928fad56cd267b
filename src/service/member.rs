//! Who belongs to which chat.

use super::page::{Limit, Page};
use crate::{
    auth::Caller,
    error::Error,
    hub::{Event, Hub},
    model::{Access, ChatId, ChatMember, Member, Role, Seq, UserId},
    repository::{MemberRepository, Standing},
};

/// The rules about memberships.
#[derive(Clone)]
pub struct MemberService {
    members: MemberRepository,
    hub: Hub,
}

/// A membership, and whether it was made just now.
#[derive(Debug)]
pub struct Seated {
    /// The membership.
    pub member: Member,
    /// Whether there was none before.
    pub new: bool,
}

impl MemberService {
    /// On these parts.
    #[must_use]
    pub fn new(members: MemberRepository, hub: Hub) -> Self {
        Self { members, hub }
    }

    /// The chat's members with user ids over `after`, by user id; `chat_not_found`.
    pub async fn list(
        &self,
        _caller: Caller,
        chat: ChatId,
        after: UserId,
        limit: Limit,
    ) -> Result<Page<ChatMember>, Error> {
        let page = limit.page(self.members.list(chat, after, limit.and_one()).await?);
        if page.rows.is_empty() && self.members.head(chat).await?.is_none() {
            return Err(Error::chat_not_found(chat));
        }
        Ok(page)
    }

    /// Makes a user a member, with a role if one is given; `user_not_found`, `chat_not_found`.
    pub async fn add(
        &self,
        _caller: Caller,
        user: UserId,
        chat: ChatId,
        role: Option<Role>,
    ) -> Result<Seated, Error> {
        let first_role = role.unwrap_or(Role::Participant);
        if let Some(member) = self.members.add(user, chat, first_role).await? {
            return Ok(Seated { member, new: true });
        }
        let member = match role {
            Some(role) => self.members.set_role(user, chat, role).await?,
            None => self.members.find(user, chat).await?,
        };
        match member {
            Some(member) => Ok(Seated { member, new: false }),
            None => Err(self.missing(user, chat).await?),
        }
    }

    /// Ends a membership: from that instant the user's sockets get nothing of the chat;
    /// `user_not_found`, `chat_not_found`, `member_not_found`.
    pub async fn remove(&self, _caller: Caller, user: UserId, chat: ChatId) -> Result<(), Error> {
        if !self.members.remove(user, chat).await? {
            return Err(self.missing(user, chat).await?);
        }
        self.hub.post(chat, Event::Removed(user));
        Ok(())
    }

    /// Whether the user belongs to the chat; false for what does not exist.
    pub async fn access(
        &self,
        _caller: Caller,
        user: UserId,
        chat: ChatId,
    ) -> Result<Access, Error> {
        let member = self.members.find(user, chat).await?;
        Ok(Access {
            has_access: member.is_some(),
        })
    }

    /// Lets a user connect to a chat, and gives their stored name. In open mode connecting makes
    /// one a member; otherwise one must be; `user_not_found`, `chat_not_found`; `invalid_field` for
    /// a `since` beyond the head, which never goes back.
    pub async fn connect(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        since: Option<Seq>,
    ) -> Result<String, Error> {
        let standing = self.members.standing(user, chat).await?;
        let name = present(&standing, user, chat)?;
        if let Some(head) = standing.head.filter(|head| since > Some(*head)) {
            let expected = format!("at most {head}, the chat's latest change");
            return Err(Error::invalid_field("content.since", &expected));
        }
        if standing.role.is_none() {
            if caller.members_only() {
                return Err(Error::chat_not_found(chat));
            }
            self.add(caller, user, chat, None).await?;
        }
        Ok(name)
    }

    /// What is missing where there is no membership.
    async fn missing(&self, user: UserId, chat: ChatId) -> Result<Error, Error> {
        let standing = self.members.standing(user, chat).await?;
        Ok(match present(&standing, user, chat) {
            Ok(_) => Error::member_not_found(user, chat),
            Err(missing) => missing,
        })
    }
}

/// The user's name, if user and chat exist.
fn present(standing: &Standing, user: UserId, chat: ChatId) -> Result<String, Error> {
    let name = standing
        .username
        .clone()
        .ok_or_else(|| Error::user_not_found(user))?;
    standing
        .head
        .map(|_| name)
        .ok_or_else(|| Error::chat_not_found(chat))
}
