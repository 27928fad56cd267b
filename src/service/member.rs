//! Memberships: listing, adding and removing the members of a chat. Every change is decided under the
//! chat's row lock or by the writer.

use super::pagination::{Limit, Page};
use crate::{
    auth::Caller,
    database::Database,
    delivery::access,
    delivery::{Change, MembershipLoader, Writer, missing},
    error::{Code, Error},
    model::{Access, ChatId, ChatMember, Member, Role, UserId},
};

/// The rules about memberships.
#[derive(Clone)]
pub struct MemberService {
    pub(super) database: Database,
    memberships: MembershipLoader,
    writer: Writer,
    /// The most chats that a user may belong to; null without a limit.
    most: Option<u32>,
}

/// A membership after it was added or changed.
#[derive(Debug)]
pub struct Membership {
    /// The membership.
    pub member: Member,
    /// True if the membership was created by this call.
    pub new: bool,
}

impl MemberService {
    /// Returns the service.
    #[must_use]
    pub fn new(
        database: Database,
        memberships: MembershipLoader,
        writer: Writer,
        most: Option<u32>,
    ) -> Self {
        Self {
            database,
            memberships,
            writer,
            most,
        }
    }

    /// Returns the members of a chat with user ids above `after`, by user id.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat.
    pub async fn list(
        &self,
        caller: Caller,
        chat: ChatId,
        after: UserId,
        limit: Limit,
    ) -> Result<Page<ChatMember>, Error> {
        // Checked before the read, so that a stranger learns nothing from the response time, and again
        // after it, because the caller may have been removed meanwhile.
        access::may_see(&self.database, caller, chat).await?;
        let members = self.database.members();
        let page = limit.page(members.list(chat, after, limit.and_one()).await?);
        access::may_see(&self.database, caller, chat).await?;
        if page.rows.is_empty() && self.database.chats().head(chat).await?.is_none() {
            return Err(Error::chat_not_found(chat));
        }
        Ok(page)
    }

    /// Adds a user to a chat, or changes the role of a member if `role` is given. A new member without a
    /// given role is a participant.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`; `forbidden`, also if the user would belong to more chats than
    /// the limit.
    pub async fn add(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
        role: Option<Role>,
    ) -> Result<Membership, Error> {
        // Checked before the lock, so that a stranger can neither hold the lock nor notice it.
        access::may_see(&self.database, caller, chat).await?;
        let change = Change::SetMember {
            caller,
            user,
            chat,
            role,
            most: self.most,
        };
        let (member, new) = match self.writer.submit(change)?.answer().await {
            Ok(outcome) => outcome.into_member()?,
            Err(error) if error.code() == Code::MemberNotFound => {
                return Err(self.missing(user, chat).await?);
            }
            Err(error) => return Err(error),
        };
        let first_role = member.role;
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::forgets_this_member() {
            self.remove(caller, user, chat).await?;
        }
        let by = caller.user().map(|me| me.0);
        let (user, chat) = (user.0, chat.0);
        match role {
            _ if new => {
                tracing::info!(user, chat, role = first_role.as_str(), by, "member added");
            }
            Some(role) => tracing::info!(user, chat, role = role.as_str(), by, "role changed"),
            None => {}
        }
        Ok(Membership { member, new })
    }

    /// Removes a member. From then on the user's sockets get nothing of the chat.
    ///
    /// # Errors
    /// `user_not_found`, `chat_not_found`, `member_not_found`, `forbidden`.
    pub async fn remove(&self, caller: Caller, user: UserId, chat: ChatId) -> Result<(), Error> {
        access::may_see(&self.database, caller, chat).await?;
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

    /// Checks that the user is a member of the chat. False if the user or chat does not exist, or the
    /// caller may not see the chat.
    pub async fn access(
        &self,
        caller: Caller,
        user: UserId,
        chat: ChatId,
    ) -> Result<Access, Error> {
        let member = self.database.members().find(user, chat).await?;
        let seen = match access::may_see(&self.database, caller, chat).await {
            Ok(()) => true,
            Err(error) if error.code() == Code::ChatNotFound => false,
            Err(error) => return Err(error),
        };
        Ok(Access {
            has_access: member.is_some() && seen,
        })
    }

    /// Returns the error that says whether the user, the chat or the membership does not exist.
    async fn missing(&self, user: UserId, chat: ChatId) -> Result<Error, Error> {
        let standing = self.memberships.ask(user, chat).await?;
        Ok(missing(standing, user, chat))
    }
}
