//! Reads and creates chats.

use super::{lock, locked_chat::LockedChat};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{Chat, ChatId, Data, NewChat, Role, Seq, Timestamp, Topic, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Builds the condition that a chat exists and is not deleted. Every statement on rows of a chat needs this
/// condition, because the messages and memberships of a deleted chat are purged later.
macro_rules! chat_exists {
    ($chat:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM chat lc WHERE lc.chat_id = ",
            $chat,
            " AND lc.deleted_at IS NULL)"
        )
    };
}
pub(super) use chat_exists;

/// The chat `$1`.
pub(super) const FIND: &str = "SELECT chat_id, chat_name, created_at, topic, data FROM chat \
                    WHERE chat_id = $1 AND deleted_at IS NULL";

/// Reads, creates and locks chats.
#[derive(Clone, Copy)]
pub struct ChatRepository<'a>(pub(super) &'a Database);

impl ChatRepository<'_> {
    /// Returns up to `limit` chats with ids above `after`, in order of id.
    pub async fn list(self, after: ChatId, limit: i64) -> Result<Vec<Chat>, Error> {
        const SQL: &str = "SELECT chat_id, chat_name, created_at, topic, data FROM chat \
                           WHERE chat_id > $1 AND deleted_at IS NULL \
                           ORDER BY chat_id LIMIT $2";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// Returns up to `limit` chats of a user with ids above `after`, in order of id.
    pub async fn list_of(
        self,
        user: UserId,
        after: ChatId,
        limit: i64,
    ) -> Result<Vec<Chat>, Error> {
        const SQL: &str = "SELECT c.chat_id, c.chat_name, c.created_at, c.topic, c.data \
                           FROM customer_chat m JOIN chat c ON c.chat_id = m.chat_id \
                           WHERE m.customer_id <= $1 AND (m.customer_id, m.chat_id) > ($1, $2) \
                           AND c.deleted_at IS NULL \
                           ORDER BY m.customer_id, m.chat_id LIMIT $3";
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(user)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// Returns the chat with this id; null if it does not exist.
    pub async fn find(self, id: ChatId) -> Result<Option<Chat>, Error> {
        Ok(on!(read self.0, |db| query_as(FIND)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the head of the chat; null if the chat does not exist.
    pub async fn head(self, chat: ChatId) -> Result<Option<Seq>, Error> {
        const SQL: &str = "SELECT seq FROM chat WHERE chat_id = $1 AND deleted_at IS NULL";
        Ok(on!(read self.0, |db| query_scalar(SQL)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores a new chat and makes `admin` its first member; the chat has no member if `admin` is null. The
    /// error is `unauthorized` if that user was deleted, and `forbidden` if that user already created `most`
    /// chats that still exist. There is no limit if `most` is null.
    pub async fn create(
        self,
        new: &NewChat,
        admin: Option<UserId>,
        most: Option<u32>,
    ) -> Result<Chat, Error> {
        const CHAT: &str = "INSERT INTO chat (chat_name, created_at, created_by, topic, data) \
                            VALUES ($1, $2, $3, $4, $5) \
                            RETURNING chat_id, chat_name, created_at, topic, data";
        const ADMIN: &str = "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                             VALUES ($1, $2, $3, $4)";
        let now = Timestamp::now();
        let mut tx = self.0.begin().await?;
        if let (Some(user), Some(most)) = (admin, most) {
            check_created_limit(&mut tx, user, most).await?;
        }
        let chat: Chat = on!(tx &mut tx, |db| query_as(CHAT)
            .bind(new.name.as_str())
            .bind(now)
            .bind(admin)
            .bind(new.topic.as_ref().map(Topic::as_str))
            .bind(new.data.as_ref().map(Data::as_str))
            .fetch_one(db)
            .await)?;
        if let Some(user) = admin {
            let inserted = on!(tx &mut tx, |db| query(ADMIN)
                .bind(user)
                .bind(chat.chat_id)
                .bind(Role::Admin.as_str())
                .bind(now)
                .execute(db)
                .await
                .map(drop));
            match inserted {
                Err(sqlx::Error::Database(e)) if e.is_foreign_key_violation() => {
                    return Err(Error::invalid_token());
                }
                inserted => inserted?,
            }
        }
        tx.commit().await?;
        Ok(chat)
    }

    /// Locks a chat. A missing or deleted chat is no error: no member is found in it, and nothing can be changed.
    pub async fn lock(self, chat: ChatId) -> Result<LockedChat, Error> {
        LockedChat::new(self.0, chat).await
    }
}

/// Checks that the user created fewer than `most` chats that still exist. The lock on the user makes
/// concurrent creations wait for each other, so that they cannot exceed the limit.
async fn check_created_limit(
    tx: &mut DatabaseTransaction,
    user: UserId,
    most: u32,
) -> Result<(), Error> {
    const MADE: &str = "SELECT count(*) FROM (SELECT 1 FROM chat \
                        WHERE created_by = $1 AND deleted_at IS NULL LIMIT $2) made";
    lock::hold_user(tx, user).await?;
    let made: i64 = on!(tx tx, |db| query_scalar(MADE)
        .bind(user)
        .bind(i64::from(most))
        .fetch_one(db)
        .await)?;
    if made < i64::from(most) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "User {user} has created {most} chats, which is the maximum: delete one first"
    )))
}
