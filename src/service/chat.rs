//! Chats.

use super::{
    page::{Limit, Page},
    permission,
    sweeper::Deletions,
    writer::{Change, Writer},
};
use crate::{
    auth::Caller,
    error::Error,
    model::{Chat, ChatId, ChatName},
    repository::{ChatRepository, MemberRepository, RosterRepository},
};

/// The rules about chats.
#[derive(Clone)]
pub struct ChatService {
    chats: ChatRepository,
    members: MemberRepository,
    rosters: RosterRepository,
    writer: Writer,
    /// Tells that a chat is there to be swept away.
    deletions: Deletions,
    /// Most chats that one user makes; none without a limit.
    most: Option<u32>,
}

/// What the rules about chats stand on.
pub struct ChatParts {
    /// Chats.
    pub chats: ChatRepository,
    /// Who belongs where.
    pub members: MemberRepository,
    /// Who belongs where, to be changed.
    pub rosters: RosterRepository,
    /// What deletes chats.
    pub writer: Writer,
    /// What is told that a chat is there to be swept away.
    pub deletions: Deletions,
    /// Most chats that one user makes and that are there; none without a limit.
    pub most: Option<u32>,
}

impl ChatService {
    /// On these parts.
    #[must_use]
    pub fn new(parts: ChatParts) -> Self {
        let ChatParts {
            chats,
            members,
            rosters,
            writer,
            deletions,
            most,
        } = parts;
        Self {
            chats,
            members,
            rosters,
            writer,
            deletions,
            most,
        }
    }

    /// The chats that the caller sees, with ids over `after`, by id: one's own where memberships
    /// count, else all.
    pub async fn list(
        &self,
        caller: Caller,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<Chat>, Error> {
        let rows = match caller {
            Caller::User(me) => self.chats.list_of(me, after, limit.and_one()).await?,
            Caller::Open | Caller::Known(_) => self.chats.list(after, limit.and_one()).await?,
        };
        Ok(limit.page(rows))
    }

    /// The chat of that id; `chat_not_found`.
    pub async fn find(&self, caller: Caller, id: ChatId) -> Result<Chat, Error> {
        let chat = self.chats.find(id).await?;
        permission::sees(&self.members, caller, id).await?;
        chat.ok_or_else(|| Error::chat_not_found(id))
    }

    /// Makes a chat; the caller, where known, is its admin. `forbidden` where they have made as many as
    /// they may.
    pub async fn create(&self, caller: Caller, name: ChatName) -> Result<Chat, Error> {
        self.chats.create(&name, caller.user(), self.most).await
    }

    /// Gives a chat another name; `chat_not_found`, `forbidden`.
    pub async fn rename(&self, caller: Caller, id: ChatId, name: ChatName) -> Result<Chat, Error> {
        // Before the lock, which a stranger must neither hold nor learn of.
        permission::sees(&self.members, caller, id).await?;
        let mut roster = self.rosters.lock(id).await?;
        permission::may_run(caller, id, &mut roster).await?;
        let chat = roster.rename(&name).await?;
        let chat = chat.ok_or_else(|| Error::chat_not_found(id))?;
        roster.commit().await?;
        Ok(chat)
    }

    /// Deletes a chat, and closes it for everyone: from then on nobody sees anything of it;
    /// `chat_not_found`, `forbidden`.
    pub async fn delete(&self, caller: Caller, chat: ChatId) -> Result<(), Error> {
        permission::sees(&self.members, caller, chat).await?;
        let change = Change::DeleteChat { caller, chat };
        self.writer.submit(change)?.answer().await?;
        self.deletions.note_chat();
        let by = caller.user().map(|me| me.0);
        tracing::info!(chat = chat.0, by, "chat deleted");
        Ok(())
    }
}
