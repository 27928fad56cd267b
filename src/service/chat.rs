//! Chats.

use super::{
    page::{Limit, Page},
    writer::{Change, Writer},
};
use crate::{
    auth::Caller,
    error::Error,
    model::{Chat, ChatId, ChatName},
    repository::ChatRepository,
};

/// The rules about chats.
#[derive(Clone)]
pub struct ChatService {
    chats: ChatRepository,
    writer: Writer,
}

impl ChatService {
    /// On these parts.
    #[must_use]
    pub fn new(chats: ChatRepository, writer: Writer) -> Self {
        Self { chats, writer }
    }

    /// Chats with ids over `after`, by id.
    pub async fn list(
        &self,
        _caller: Caller,
        after: ChatId,
        limit: Limit,
    ) -> Result<Page<Chat>, Error> {
        Ok(limit.page(self.chats.list(after, limit.and_one()).await?))
    }

    /// The chat of that id; `chat_not_found`.
    pub async fn find(&self, _caller: Caller, id: ChatId) -> Result<Chat, Error> {
        self.chats
            .find(id)
            .await?
            .ok_or_else(|| Error::chat_not_found(id))
    }

    /// Makes a chat; the caller, where known, is its admin.
    pub async fn create(&self, caller: Caller, name: ChatName) -> Result<Chat, Error> {
        self.chats.create(&name, caller.acting_as(None)?).await
    }

    /// Gives a chat another name; `chat_not_found`.
    pub async fn rename(&self, _caller: Caller, id: ChatId, name: ChatName) -> Result<Chat, Error> {
        self.chats
            .rename(id, &name)
            .await?
            .ok_or_else(|| Error::chat_not_found(id))
    }

    /// Deletes a chat with all that is in it, and closes it for everyone; `chat_not_found`.
    pub async fn delete(&self, _caller: Caller, id: ChatId) -> Result<(), Error> {
        self.writer.submit(Change::DeleteChat(id))?.answer().await?;
        Ok(())
    }
}
