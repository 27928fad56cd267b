//! Who belongs to which chat.

use super::{
    page::{Limit, Page},
    standings::Standings,
};
use crate::{
    auth::Caller,
    error::Error,
    hub::{Event, Hub},
    model::{Access, ChatId, ChatMember, Member, Message, MessageId, Role, Seq, UserChat, UserId},
    repository::{ListedChat, MemberRepository, MessageRepository, Standing, UserRepository},
};
use std::collections::HashMap;

/// The rules about memberships.
#[derive(Clone)]
pub struct MemberService {
    members: MemberRepository,
    users: UserRepository,
    messages: MessageRepository,
    standings: Standings,
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

/// A user who may connect to a chat.
#[derive(Debug)]
pub struct Connected {
    /// Their stored name.
    pub username: String,
    /// The chat's latest change.
    pub head: Seq,
}

impl MemberService {
    /// On these parts.
    #[must_use]
    pub fn new(
        members: MemberRepository,
        users: UserRepository,
        messages: MessageRepository,
        standings: Standings,
        hub: Hub,
    ) -> Self {
        Self {
            members,
            users,
            messages,
            standings,
            hub,
        }
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

    /// A user's chats, the latest active first, after the chat `after`; `user_not_found`.
    pub async fn chats_of(
        &self,
        caller: Caller,
        user: UserId,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<UserChat>, Error> {
        caller.acting_as(Some(user))?;
        let page = limit.page(self.members.chats_of(user, after, limit.and_one()).await?);
        if page.rows.is_empty() && self.users.find(user).await?.is_none() {
            return Err(Error::user_not_found(user));
        }
        let ids: Vec<MessageId> = page.rows.iter().map(|row| row.last_message_id).collect();
        let last = self.messages.find_all(&ids).await?;
        let mut last: HashMap<MessageId, Message> = last
            .into_iter()
            .map(|message| (message.message_id, message))
            .collect();
        let seen = |row: ListedChat| UserChat {
            chat: row.chat,
            role: row.role,
            last_message: last.remove(&row.last_message_id),
            unread: row.unread,
            last_read_message_id: row.last_read_message_id,
        };
        Ok(Page {
            rows: page.rows.into_iter().map(seen).collect(),
            more: page.more,
        })
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

    /// Lets a user connect to a chat who has seen its changes up to `since`. In open mode connecting
    /// makes one a member; otherwise one must be; `user_not_found`, `chat_not_found`;
    /// `invalid_field` for a `since` beyond the head, which never goes back.
    pub async fn connect(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        since: Option<Seq>,
    ) -> Result<Connected, Error> {
        let standing = self.standings.ask(user, chat).await?;
        let member = standing.role.is_some();
        let connected = present(standing, user, chat)?;
        if !member && caller.members_only() {
            return Err(Error::chat_not_found(chat));
        }
        if since > Some(connected.head) {
            let expected = format!("at most {}, the chat's latest change", connected.head);
            return Err(Error::invalid_field("content, since,", &expected));
        }
        if !member {
            self.add(caller, user, chat, None).await?;
        }
        Ok(connected)
    }

    /// How a user stands to a chat.
    pub async fn standing(&self, user: UserId, chat: ChatId) -> Result<Standing, Error> {
        self.standings.ask(user, chat).await
    }

    /// What is missing where there is no membership.
    async fn missing(&self, user: UserId, chat: ChatId) -> Result<Error, Error> {
        let standing = self.standings.ask(user, chat).await?;
        Ok(match present(standing, user, chat) {
            Ok(_) => Error::member_not_found(user, chat),
            Err(missing) => missing,
        })
    }
}

/// What a standing says where both user and chat exist.
fn present(standing: Standing, user: UserId, chat: ChatId) -> Result<Connected, Error> {
    let username = standing
        .username
        .ok_or_else(|| Error::user_not_found(user))?;
    let head = standing.head.ok_or_else(|| Error::chat_not_found(chat))?;
    Ok(Connected { username, head })
}
