//! Chats.

use super::{dialect, read_position::latest_message};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{Chat, ChatId, ChatName, Member, Role, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Whether a chat is there, to be said of whatever is read or written by its id: a deleted one is
/// not, although its messages and memberships are swept away only later.
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

/// Reads and writes chats.
#[derive(Clone)]
pub struct ChatRepository(Database);

impl ChatRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
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
async fn hold_to(tx: &mut DatabaseTransaction, user: UserId, most: u32) -> Result<(), Error> {
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

/// Locks chats.
#[derive(Clone)]
pub struct LockedChatRepository(Database);

/// A chat that is locked until the commit. Dropped without one, nothing happened.
pub struct LockedChat {
    tx: DatabaseTransaction,
    chat: ChatId,
}

impl LockedChatRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Locks a chat. One that does not exist has no members.
    pub async fn lock(&self, chat: ChatId) -> Result<LockedChat, Error> {
        let mut tx = self.0.begin().await?;
        dialect::lock_chats(&mut tx, &[chat]).await?;
        Ok(LockedChat { tx, chat })
    }
}

impl LockedChat {
    /// A user's role; none where they do not belong to the chat.
    pub async fn role(&mut self, user: UserId) -> Result<Option<Role>, Error> {
        const SQL: &str = concat!(
            "SELECT role FROM customer_chat WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2")
        );
        let role: Option<String> = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(user)
            .bind(self.chat)
            .fetch_optional(db)
            .await)?;
        Ok(role.map(Role::from))
    }

    /// Whether the chat has an admin besides this user.
    pub async fn has_other_admin(&mut self, user: UserId) -> Result<bool, Error> {
        const SQL: &str = "SELECT count(*) FROM customer_chat \
                           WHERE chat_id = $1 AND customer_id <> $2 AND role = $3";
        let others: i64 = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .bind(user)
            .bind(Role::Admin.as_str())
            .fetch_one(db)
            .await)?;
        Ok(others > 0)
    }

    /// Makes a user a member, for whom what was sent before is not unread; none where they are one already, or where user or chat is gone.
    pub async fn add(&mut self, user: UserId, role: Role) -> Result<Option<Member>, Error> {
        const SQL: &str = concat!(
            "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
             SELECT u.customer_id, c.chat_id, $3, $4, ",
            latest_message!("c.chat_id"),
            " FROM customer u, chat c \
             WHERE u.customer_id = $1 AND c.chat_id = $2 AND c.deleted_at IS NULL \
             ON CONFLICT (customer_id, chat_id) DO NOTHING \
             RETURNING customer_id, chat_id, role, joined_at"
        );
        let added = on!(tx &mut self.tx, |db| query_as(SQL)
            .bind(user)
            .bind(self.chat)
            .bind(role.as_str())
            .bind(Timestamp::now())
            .fetch_optional(db)
            .await);
        match added {
            // The user went in this very moment.
            Err(sqlx::Error::Database(e)) if e.is_foreign_key_violation() => Ok(None),
            added => Ok(added?),
        }
    }

    /// Refuses a member that was just added where they belong to more than `most` chats by now. Of several
    /// chats that they are added to at once, one after the other is counted.
    pub async fn hold_to(&mut self, most: Option<u32>, user: UserId) -> Result<(), Error> {
        const CHATS: &str = "SELECT count(*) FROM (SELECT 1 FROM customer_chat \
                             WHERE customer_id = $1 LIMIT $2) chats";
        let Some(most) = most else {
            return Ok(());
        };
        dialect::hold_user(&mut self.tx, user).await?;
        let chats: i64 = on!(tx &mut self.tx, |db| query_scalar(CHATS)
            .bind(user)
            .bind(i64::from(most) + 1)
            .fetch_one(db)
            .await)?;
        if chats <= i64::from(most) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "User {user} belongs to {most} chats, which is the most: they must leave one first"
        )))
    }

    /// Gives a member another role, or leaves it where none is given; none where they are no member.
    pub async fn set_role(
        &mut self,
        user: UserId,
        role: Option<Role>,
    ) -> Result<Option<Member>, Error> {
        const SQL: &str = concat!(
            "UPDATE customer_chat SET role = coalesce($3, role) \
             WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2"),
            " RETURNING customer_id, chat_id, role, joined_at"
        );
        Ok(on!(tx &mut self.tx, |db| query_as(SQL)
            .bind(user)
            .bind(self.chat)
            .bind(role.map(Role::as_str))
            .fetch_optional(db)
            .await)?)
    }

    /// Ends a membership; false where there was none.
    pub async fn remove(&mut self, user: UserId) -> Result<bool, Error> {
        const SQL: &str = concat!(
            "DELETE FROM customer_chat WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2")
        );
        let gone = on!(tx &mut self.tx, |db| query(SQL)
            .bind(user)
            .bind(self.chat)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }

    /// Makes the member admin who has been in the chat longest; none where the chat has an admin already,
    /// or no members.
    pub async fn appoint_eldest(&mut self) -> Result<Option<UserId>, Error> {
        const SQL: &str = concat!(
            "UPDATE customer_chat SET role = $2 WHERE chat_id = $1 AND customer_id = ( \
                SELECT m.customer_id FROM customer_chat m WHERE m.chat_id = $1 \
                ORDER BY m.joined_at, m.customer_id LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM customer_chat m WHERE m.chat_id = $1 AND m.role = $2) AND ",
            chat_exists!("$1"),
            " RETURNING customer_id"
        );
        Ok(on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .bind(Role::Admin.as_str())
            .fetch_optional(db)
            .await)?)
    }

    /// Whether the chat has no members.
    pub async fn is_empty(&mut self) -> Result<bool, Error> {
        const SQL: &str = "SELECT count(*) FROM \
                           (SELECT 1 FROM customer_chat WHERE chat_id = $1 LIMIT 1) AS someone";
        let members: i64 = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .fetch_one(db)
            .await)?;
        Ok(members == 0)
    }

    /// Notes since when the chat has no members, or that it has some.
    pub async fn note_empty(&mut self, since: Option<Timestamp>) -> Result<(), Error> {
        const SQL: &str = "UPDATE chat SET empty_since = $2 WHERE chat_id = $1";
        on!(tx &mut self.tx, |db| query(SQL)
            .bind(self.chat)
            .bind(since)
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Gives the chat another name; none where it does not exist.
    pub async fn rename(&mut self, name: &ChatName) -> Result<Option<Chat>, Error> {
        const SQL: &str = "UPDATE chat SET chat_name = $2 \
                           WHERE chat_id = $1 AND deleted_at IS NULL \
                           RETURNING chat_id, chat_name, created_at";
        Ok(on!(tx &mut self.tx, |db| query_as(SQL)
            .bind(self.chat)
            .bind(name)
            .fetch_optional(db)
            .await)?)
    }

    /// Deletes the chat: nobody sees it any more. What was in it is swept away later; false where
    /// it does not exist.
    pub async fn delete(&mut self) -> Result<bool, Error> {
        const SQL: &str = "UPDATE chat SET deleted_at = $2 \
                           WHERE chat_id = $1 AND deleted_at IS NULL";
        let gone = on!(tx &mut self.tx, |db| query(SQL)
            .bind(self.chat)
            .bind(Timestamp::now())
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }

    /// Makes it last, and unlocks the chat. An error leaves open whether it did.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await
    }
}
