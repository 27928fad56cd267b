//! Chats.

use super::dialect;
use crate::{
    error::Error,
    model::{Chat, ChatId, ChatName, Role, Timestamp, UserId},
    store::{Store, StoreTransaction, on},
};
use sqlx::{query, query_as, query_scalar};

/// Whether a chat is there, to be said of whatever is read or written by its id: a deleted one is
/// not, although its messages and memberships are swept away only later.
macro_rules! living_chat {
    ($chat:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM chat lc WHERE lc.chat_id = ",
            $chat,
            " AND lc.deleted_at IS NULL)"
        )
    };
}
pub(super) use living_chat;

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
                           WHERE chat_id > $1 AND deleted_at IS NULL \
                           ORDER BY chat_id LIMIT $2";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// The same of the chats that a user belongs to.
    pub async fn list_of(
        &self,
        user: UserId,
        after: ChatId,
        limit: i64,
    ) -> Result<Vec<Chat>, Error> {
        const SQL: &str = "SELECT c.chat_id, c.chat_name, c.created_at \
                           FROM customer_chat m JOIN chat c ON c.chat_id = m.chat_id \
                           WHERE m.customer_id = $1 AND m.chat_id > $2 AND c.deleted_at IS NULL \
                           ORDER BY m.chat_id LIMIT $3";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(user)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// The chat of that id.
    pub async fn find(&self, id: ChatId) -> Result<Option<Chat>, Error> {
        const SQL: &str = "SELECT chat_id, chat_name, created_at FROM chat \
                           WHERE chat_id = $1 AND deleted_at IS NULL";
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores a new chat, with its admin where one is known; `unauthorized` where that one is gone,
    /// `forbidden` where they have made `most` that are there.
    pub async fn create(
        &self,
        name: &ChatName,
        admin: Option<UserId>,
        most: Option<u32>,
    ) -> Result<Chat, Error> {
        const CHAT: &str = "INSERT INTO chat (chat_name, created_at, created_by) \
                            VALUES ($1, $2, $3) RETURNING chat_id, chat_name, created_at";
        const ADMIN: &str = "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                             VALUES ($1, $2, $3, $4)";
        let now = Timestamp::now();
        let mut tx = self.0.begin().await?;
        if let (Some(user), Some(most)) = (admin, most) {
            hold_to(&mut tx, user, most).await?;
        }
        let chat: Chat = on!(tx &mut tx, |db| query_as(CHAT)
            .bind(name)
            .bind(now)
            .bind(admin)
            .fetch_one(db)
            .await)?;
        if let Some(user) = admin {
            let seated = on!(tx &mut tx, |db| query(ADMIN)
                .bind(user)
                .bind(chat.chat_id)
                .bind(Role::Admin.as_str())
                .bind(now)
                .execute(db)
                .await
                .map(drop));
            match seated {
                Err(sqlx::Error::Database(e)) if e.is_foreign_key_violation() => {
                    return Err(Error::invalid_token());
                }
                seated => seated?,
            }
        }
        tx.commit().await?;
        Ok(chat)
    }
}

/// Refuses one chat more where the user has made `most`. Of several that are made at once, one after the
/// other is counted.
async fn hold_to(tx: &mut StoreTransaction, user: UserId, most: u32) -> Result<(), Error> {
    const MADE: &str = "SELECT count(*) FROM (SELECT 1 FROM chat \
                        WHERE created_by = $1 AND deleted_at IS NULL LIMIT $2) made";
    dialect::hold_user(tx, user).await?;
    let made: i64 = on!(tx tx, |db| query_scalar(MADE)
        .bind(user)
        .bind(i64::from(most))
        .fetch_one(db)
        .await)?;
    if made < i64::from(most) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "User {user} has made {most} chats, which is the most: delete one first"
    )))
}
