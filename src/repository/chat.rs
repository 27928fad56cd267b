//! Reads and creates chats, and changes a chat and its memberships under a row lock (`LockedChat`).

use super::{
    change::{self, ChangedMember},
    heads::Heads,
    last_message::last_message,
    lock, message_log,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        Chat, ChatChange, ChatId, ChatUpdate, Data, Member, MemberChange, NewChat, Role, Seq,
        Timestamp, Topic, UserId,
    },
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
const FIND: &str = "SELECT chat_id, chat_name, created_at, topic, data FROM chat \
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

    /// Locks a chat. A missing or deleted chat is no error: its `LockedChat` finds no members and changes
    /// nothing. On Postgres the wait for the lock is limited to 250 ms, because the changes of all other chats wait
    /// for this one.
    pub async fn lock(self, chat: ChatId) -> Result<LockedChat, Error> {
        let mut tx = self.0.begin().await?;
        lock::set_short_lock_timeout(&mut tx).await?;
        let heads = lock::lock_chats(&mut tx, &[chat]).await?;
        Ok(LockedChat { tx, chat, heads })
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

/// A chat that is locked against other writers until `commit`. Changes are rolled back if the value is
/// dropped without `commit`.
pub struct LockedChat {
    tx: DatabaseTransaction,
    chat: ChatId,
    /// The head of the chat, moved on by the changes of this transaction.
    heads: Heads,
}

impl LockedChat {
    /// Gives the change of a membership its number, after the membership was added, changed or removed. `by` made the
    /// change; null for the server and for an unnamed caller. The error is `chat_not_found` if the chat does not exist.
    pub async fn number_member(
        &mut self,
        user: UserId,
        by: Option<UserId>,
    ) -> Result<MemberChange, Error> {
        let (chat, now) = (self.chat, Timestamp::now());
        let changed = [ChangedMember { chat, user, by }];
        let stored = change::number_members(&mut self.tx, &mut self.heads, &changed, now).await?;
        stored
            .into_iter()
            .next()
            .ok_or_else(|| Error::chat_not_found(chat))
    }

    /// Fail point: removes the row of a numbered change. The number stays taken.
    #[cfg(feature = "planted-faults")]
    pub(crate) async fn forget_change(&mut self, change: &MemberChange) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM membership_change WHERE chat_id = $1 AND customer_id = $2";
        on!(tx &mut self.tx, |db| query(SQL)
            .bind(change.chat_id)
            .bind(change.member.customer_id)
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Returns the role of a user; null if the user is not a member.
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

    /// Returns true if a user other than this one is an admin of the chat.
    pub async fn has_other_admin(&mut self, user: UserId) -> Result<bool, Error> {
        const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM customer_chat \
                           WHERE chat_id = $1 AND customer_id <> $2 AND role = 'admin' LIMIT 1) AS other";
        let others: i64 = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .bind(user)
            .fetch_one(db)
            .await)?;
        Ok(others > 0)
    }

    /// Makes a user a member. Earlier messages do not count as unread for the new member. Null if the user is
    /// already a member, or if the user or the chat does not exist.
    pub async fn add(&mut self, user: UserId, role: Role) -> Result<Option<Member>, Error> {
        const SQL: &str = concat!(
            "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
             SELECT u.customer_id, c.chat_id, $3, $4, nullif(",
            last_message!("c"),
            ", 0) FROM customer u, chat c \
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
            // The user was deleted concurrently.
            Err(sqlx::Error::Database(e)) if e.is_foreign_key_violation() => Ok(None),
            added => Ok(added?),
        }
    }

    /// Checks after `add` that the user belongs to at most `most` chats; the error is `forbidden`. There is
    /// no limit if `most` is null. The lock on the user makes concurrent additions to other chats wait, so
    /// that they cannot exceed the limit.
    pub async fn hold_to(&mut self, most: Option<u32>, user: UserId) -> Result<(), Error> {
        const CHATS: &str = "SELECT count(*) FROM (SELECT 1 FROM customer_chat \
                             WHERE customer_id = $1 LIMIT $2) chats";
        let Some(most) = most else {
            return Ok(());
        };
        lock::hold_user(&mut self.tx, user).await?;
        let chats: i64 = on!(tx &mut self.tx, |db| query_scalar(CHATS)
            .bind(user)
            .bind(i64::from(most) + 1)
            .fetch_one(db)
            .await)?;
        if chats <= i64::from(most) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "User {user} is a member of {most} chats, which is the maximum: the user must leave \
             one first"
        )))
    }

    /// Sets the role of a member, or only returns the membership if `role` is null. Null if the user is not a
    /// member.
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

    /// Removes a member. Returns false if the user is not a member.
    pub async fn remove(&mut self, user: UserId) -> Result<bool, Error> {
        const SQL: &str = concat!(
            "DELETE FROM customer_chat WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2")
        );
        let removed = on!(tx &mut self.tx, |db| query(SQL)
            .bind(user)
            .bind(self.chat)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(removed > 0)
    }

    /// Gives the admin role to the member with the earliest `joined_at` and returns that member. Null if the
    /// chat already has an admin or has no members.
    pub async fn appoint_eldest(&mut self) -> Result<Option<UserId>, Error> {
        const SQL: &str = concat!(
            "UPDATE customer_chat SET role = $2 WHERE chat_id = $1 AND customer_id = ( \
                SELECT m.customer_id FROM customer_chat m WHERE m.chat_id = $1 \
                ORDER BY m.joined_at, m.customer_id LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM customer_chat m WHERE m.chat_id = $1 AND m.role = 'admin') AND ",
            chat_exists!("$1"),
            " RETURNING customer_id"
        );
        Ok(on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .bind(Role::Admin.as_str())
            .fetch_optional(db)
            .await)?)
    }

    /// Returns true if the chat has no members.
    pub async fn is_empty(&mut self) -> Result<bool, Error> {
        const SQL: &str = "SELECT count(*) FROM \
                           (SELECT 1 FROM customer_chat WHERE chat_id = $1 LIMIT 1) AS someone";
        let members: i64 = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .fetch_one(db)
            .await)?;
        Ok(members == 0)
    }

    /// Stores the time since which the chat has no members; null if it has members.
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

    /// Returns the chat; null if it does not exist.
    pub async fn find(&mut self) -> Result<Option<Chat>, Error> {
        Ok(on!(tx &mut self.tx, |db| query_as(FIND)
            .bind(self.chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Changes the chat, and gives the change its number. The change is null if the chat already has these values:
    /// nothing is stored then. The error is `chat_not_found` if the chat does not exist.
    pub async fn update(
        &mut self,
        update: &ChatUpdate,
        by: Option<UserId>,
    ) -> Result<(Chat, Option<ChatChange>), Error> {
        const SQL: &str = "UPDATE chat SET chat_name = $2, topic = $3, data = $4, changed_seq = $5, \
                           changed_by = $6 WHERE chat_id = $1";
        let chat = self.find().await?;
        let mut chat = chat.ok_or_else(|| Error::chat_not_found(self.chat))?;
        if !update.apply(&mut chat) {
            return Ok((chat, None));
        }
        let seq = self.heads.next(self.chat);
        let seq = seq.ok_or_else(|| Error::chat_not_found(self.chat))?;
        on!(tx &mut self.tx, |db| query(SQL)
            .bind(self.chat)
            .bind(&chat.chat_name)
            .bind(&chat.topic)
            .bind(chat.data.as_ref().map(Data::as_str))
            .bind(seq)
            .bind(by)
            .execute(db)
            .await
            .map(drop))?;
        let change = ChatChange {
            seq,
            changed_by: by,
            chat: chat.clone(),
        };
        Ok((chat, Some(change)))
    }

    /// Marks the chat as deleted, which hides it from all readers. The view
    /// `Database::chat_purge` deletes its rows later. Returns false if the chat does not exist.
    pub async fn delete(&mut self) -> Result<bool, Error> {
        const SQL: &str = "UPDATE chat SET deleted_at = $2 \
                           WHERE chat_id = $1 AND deleted_at IS NULL";
        let deleted = on!(tx &mut self.tx, |db| query(SQL)
            .bind(self.chat)
            .bind(Timestamp::now())
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    /// Commits the changes and unlocks the chat. After an error the commit may be in doubt: the changes may
    /// or may not be stored.
    pub async fn commit(mut self) -> Result<(), Error> {
        message_log::advance(&mut self.tx, &self.heads).await?;
        self.tx.commit().await
    }
}
