//! Chats.

use crate::{
    error::Error,
    model::{Chat, ChatId, ChatName, Role, Timestamp, UserId},
    store::{Store, on},
};
use sqlx::{query, query_as};

/// Reads and writes chats.
#[derive(Clone)]
pub struct ChatRepository(Store);

impl ChatRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Up to `limit` chats with ids over `after`, by id.
    pub async fn list(&self, after: ChatId, limit: i64) -> Result<Vec<Chat>, Error> {
        const SQL: &str = "SELECT chat_id, chat_name, created_at FROM chat \
                           WHERE chat_id > $1 ORDER BY chat_id LIMIT $2";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// The chat of that id.
    pub async fn find(&self, id: ChatId) -> Result<Option<Chat>, Error> {
        const SQL: &str = "SELECT chat_id, chat_name, created_at FROM chat WHERE chat_id = $1";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores a new chat, with its admin where one is known.
    pub async fn create(&self, name: &ChatName, admin: Option<UserId>) -> Result<Chat, Error> {
        const CHAT: &str = "INSERT INTO chat (chat_name, created_at) VALUES ($1, $2) \
                            RETURNING chat_id, chat_name, created_at";
        const ADMIN: &str = "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                             VALUES ($1, $2, $3, $4)";
        let now = Timestamp::now();
        let mut tx = self.0.begin().await?;
        let chat: Chat =
            on!(tx &mut tx, |db| query_as(CHAT).bind(name).bind(now).fetch_one(db).await)?;
        if let Some(user) = admin {
            on!(tx &mut tx, |db| query(ADMIN)
                .bind(user)
                .bind(chat.chat_id)
                .bind(Role::Admin.as_str())
                .bind(now)
                .execute(db)
                .await
                .map(drop))?;
        }
        tx.commit().await?;
        Ok(chat)
    }

    /// Gives a chat another name.
    pub async fn rename(&self, id: ChatId, name: &ChatName) -> Result<Option<Chat>, Error> {
        const SQL: &str = "UPDATE chat SET chat_name = $2 WHERE chat_id = $1 \
                           RETURNING chat_id, chat_name, created_at";
        Ok(on!(write & self.0, |db| query_as(SQL)
            .bind(id)
            .bind(name)
            .fetch_optional(db)
            .await)?)
    }
}
