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
}

impl ChatService {
    /// On these parts.
    #[must_use]
    pub fn new(
        chats: ChatRepository,
        members: MemberRepository,
        rosters: RosterRepository,
        writer: Writer,
        deletions: Deletions,
    ) -> Self {
        Self {
            chats,
            members,
            rosters,
            writer,
            deletions,
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

    /// Makes a chat; the caller, where known, is its admin.
    pub async fn create(&self, caller: Caller, name: ChatName) -> Result<Chat, Error> {
        self.chats.create(&name, caller.user()).await
    }

    /// Gives a chat another name; `chat_not_found`, `forbidden`.
    pub async fn rename(&self, caller: Caller, id: ChatId, name: ChatName) -> Result<Chat, Error> {
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
        let change = Change::DeleteChat { caller, chat };
        self.writer.submit(change)?.answer().await?;
        self.deletions.note_chat();
        let by = caller.user().map(|me| me.0);
        tracing::info!(chat = chat.0, by, "chat deleted");
        Ok(())
    }
}
