//! Who belongs to which chat.

use super::pagination::{Limit, Page};
use crate::{
    auth::Caller,
    delivery::access,
    delivery::{Change, MembershipLoader, Writer, missing},
    error::{Code, Error},
    model::{Access, ChatId, ChatMember, Member, Role, UserId},
    repository::{LockedChatRepository, MemberRepository, MessageRepository, UserRepository},
};

/// The rules about memberships.
#[derive(Clone)]
pub struct MemberService {
    pub(super) members: MemberRepository,
    pub(super) users: UserRepository,
    pub(super) messages: MessageRepository,
    locked_chats: LockedChatRepository,
    standings: MembershipLoader,
    writer: Writer,
    /// Most chats that one user belongs to; none without a limit.
    most: Option<u32>,
}

/// What the rules about memberships stand on.
pub struct MemberParts {
    /// Who belongs where.
    pub members: MemberRepository,
    /// Users.
    pub users: UserRepository,
    /// Messages.
    pub messages: MessageRepository,
    /// Chats that are locked while somebody decides.
    pub locked_chats: LockedChatRepository,
    /// Answers to many at once.
    pub standings: MembershipLoader,
    /// Where memberships end.
    pub writer: Writer,
    /// Most chats that one user is added to; none without a limit.
    pub most: Option<u32>,
}

/// A membership, and whether it was made just now.
#[derive(Debug)]
pub struct Membership {
    /// The membership.
    pub member: Member,
    /// Whether there was none before.
    pub new: bool,
}

impl MemberService {
    /// On these parts.
    #[must_use]
    pub fn new(parts: MemberParts) -> Self {
        let MemberParts {
            members,
            users,
            messages,
            locked_chats,
            standings,
            writer,
            most,
        } = parts;
        Self {
            members,
            users,
            messages,
            locked_chats,
            standings,
            writer,
            most,
        }
    }

    /// The chat's members with user ids over `after`, by user id; `chat_not_found`.
    pub async fn list(
        &self,
        caller: Caller,
        chat: ChatId,
        after: UserId,
        limit: Limit,
    ) -> Result<Page<ChatMember>, Error> {
        // Before reading, so that the time it takes tells a stranger nothing; after it, because the
        // caller may have been removed meanwhile.
        access::may_see(&self.members, caller, chat).await?;
        let page = limit.page(self.members.list(chat, after, limit.and_one()).await?);
        access::may_see(&self.members, caller, chat).await?;
        if page.rows.is_empty() && self.members.head(chat).await?.is_none() {
            return Err(Error::chat_not_found(chat));
        }
        Ok(page)
    }

    /// Makes a user a member, or gives a member another role, where one is given; `user_not_found`,
    /// `chat_not_found`, `forbidden`, also where the user belongs to as many chats as they may.
    pub async fn add(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        role: Option<Role>,
    ) -> Result<Membership, Error> {
        // Before the lock, which a stranger must neither hold nor learn of.
        access::may_see(&self.members, caller, chat).await?;
        let mut locked_chat = self.locked_chats.lock(chat).await?;
        access::may_appoint(caller, user, role, chat, &mut locked_chat).await?;
        let first_role = role.unwrap_or(Role::Participant);
        let members_online = match locked_chat.add(user, first_role).await? {
            Some(member) => {
                locked_chat.hold_to(self.most, user).await?;
                Some(Membership { member, new: true })
            }
            None => {
                let member = locked_chat.set_role(user, role).await?;
                member.map(|member| Membership { member, new: false })
            }
        };
        let Some(members_online) = members_online else {
            drop(locked_chat);
            return Err(self.missing(user, chat).await?);
        };
        locked_chat.commit().await?;
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::forgets_this_member() {
            self.remove(caller, user, chat).await?;
        }
        let by = caller.user().map(|me| me.0);
        let (user, chat) = (user.0, chat.0);
        match role {
            _ if members_online.new => {
                tracing::info!(user, chat, role = first_role.as_str(), by, "member added");
            }
            Some(role) => tracing::info!(user, chat, role = role.as_str(), by, "role changed"),
            None => {}
        }
        Ok(members_online)
    }

    /// Ends a membership: from that instant the user's sockets get nothing of the chat;
    /// `user_not_found`, `chat_not_found`, `member_not_found`, `forbidden`.
    pub async fn remove(&self, caller: Caller, user: UserId, chat: ChatId) -> Result<(), Error> {
        access::may_see(&self.members, caller, chat).await?;
        let change = Change::RemoveMember { caller, user, chat };
        match self.writer.submit(change)?.answer().await {
            Ok(_) => {
                let by = caller.user().map(|me| me.0);
                tracing::info!(user = user.0, chat = chat.0, by, "member removed");
                Ok(())
            }
            Err(error) if error.code() == Code::MemberNotFound => {
                Err(self.missing(user, chat).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the user belongs to the chat; false for what does not exist, or what the caller does
    /// not see.
    pub async fn access(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
    ) -> Result<Access, Error> {
        let member = self.members.find(user, chat).await?;
        let seen = match access::may_see(&self.members, caller, chat).await {
            Ok(()) => true,
            Err(error) if error.code() == Code::ChatNotFound => false,
            Err(error) => return Err(error),
        };
        Ok(Access {
            has_access: member.is_some() && seen,
        })
    }

    async fn missing(&self, user: UserId, chat: ChatId) -> Result<Error, Error> {
        let standing = self.standings.ask(user, chat).await?;
        Ok(missing(standing, user, chat))
    }
}
