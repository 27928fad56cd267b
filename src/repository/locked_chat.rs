//! Changes a chat and its memberships under a row lock.

use super::{
    change::{self, ChangedMember},
    chat::{FIND, chat_exists},
    heads::Heads,
    last_message::last_message,
    lock, message_log,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        Chat, ChatChange, ChatId, ChatUpdate, Data, Member, MemberChange, Role, Timestamp, UserId,
    },
};
use sqlx::{query, query_as, query_scalar};

/// A chat that is locked against other writers until `commit`. Changes are rolled back if the value is
/// dropped without `commit`.
pub struct LockedChat {
    tx: DatabaseTransaction,
    chat: ChatId,
    /// The head of the chat, moved on by the changes of this transaction.
    heads: Heads,
}

/// A membership after it was set.
#[derive(Clone, Debug)]
pub struct SetMember {
    /// The membership.
    pub member: Member,
    /// True if the user was no member before.
    pub is_new: bool,
    /// The numbered change; None if the user already was a member with this role.
    pub change: Option<MemberChange>,
}

impl LockedChat {
    /// Locks a chat. A missing or deleted chat is no error: no member is found in it, and nothing can be changed. On
    /// Postgres the wait for the lock is limited to 250 ms, because the changes of all other chats wait for this one.
    pub(super) async fn new(database: &Database, chat: ChatId) -> Result<Self, Error> {
        let mut tx = database.begin().await?;
        lock::set_short_lock_timeout(&mut tx).await?;
        let heads = lock::lock_chats(&mut tx, &[chat]).await?;
        Ok(Self { tx, chat, heads })
    }

    /// Gives a changed membership its number. `by` made the change; null for the server and for an unnamed caller.
    async fn number(&mut self, user: UserId, by: Option<UserId>) -> Result<MemberChange, Error> {
        let (chat, now) = (self.chat, Timestamp::now());
        let changed = [ChangedMember { chat, user, by }];
        let numbered = change::number_members(&mut self.tx, &mut self.heads, &changed, now).await?;
        let mut numbered = numbered.into_iter();
        numbered.next().ok_or_else(|| Error::chat_not_found(chat))
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

    /// Makes a user a member or changes the role of a member, and gives the change its number. Without a role, a member
    /// keeps the role, and a new member becomes a participant. `by` makes the change; null for the server and for an
    /// unnamed caller. Null if the user or the chat does not exist.
    pub async fn set_member(
        &mut self,
        user: UserId,
        role: Option<Role>,
        by: Option<UserId>,
    ) -> Result<Option<SetMember>, Error> {
        let before = self.role(user).await?;
        let member = match before {
            None => self.add(user, role.unwrap_or(Role::Participant)).await?,
            Some(_) => self.set_role(user, role).await?,
        };
        let Some(member) = member else {
            return Ok(None);
        };
        let change = match before == Some(member.role) {
            true => None,
            false => Some(self.number(user, by).await?),
        };
        Ok(Some(SetMember {
            member,
            is_new: before.is_none(),
            change,
        }))
    }

    /// Makes a user a member. Earlier messages do not count as unread for the new member. Null if the user is
    /// already a member, or if the user or the chat does not exist.
    async fn add(&mut self, user: UserId, role: Role) -> Result<Option<Member>, Error> {
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

    /// Checks after `set_member` that the user belongs to at most `most` chats; the error is `forbidden`. There is
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
    async fn set_role(
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

    /// Removes a member, and gives the change its number. `by` makes the change; null for an unnamed caller. Null if the
    /// user is not a member.
    pub async fn remove(
        &mut self,
        user: UserId,
        by: Option<UserId>,
    ) -> Result<Option<MemberChange>, Error> {
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
        match removed {
            0 => Ok(None),
            _ => self.number(user, by).await.map(Some),
        }
    }

    /// Gives the admin role to the member with the earliest `joined_at`, and gives the change its number. Null if the
    /// chat already has an admin or has no members.
    pub async fn appoint_eldest(&mut self) -> Result<Option<MemberChange>, Error> {
        const SQL: &str = concat!(
            "UPDATE customer_chat SET role = $2 WHERE chat_id = $1 AND customer_id = ( \
                SELECT m.customer_id FROM customer_chat m WHERE m.chat_id = $1 \
                ORDER BY m.joined_at, m.customer_id LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM customer_chat m WHERE m.chat_id = $1 AND m.role = 'admin') AND ",
            chat_exists!("$1"),
            " RETURNING customer_id"
        );
        let appointed: Option<UserId> = on!(tx &mut self.tx, |db| query_scalar(SQL)
            .bind(self.chat)
            .bind(Role::Admin.as_str())
            .fetch_optional(db)
            .await)?;
        match appointed {
            Some(user) => self.number(user, None).await.map(Some),
            None => Ok(None),
        }
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
    async fn find(&mut self) -> Result<Option<Chat>, Error> {
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
