//! Deletes a user in steps of bounded size, so that a user with many messages does not block other writers
//! for long. The writer repeats `step` until the user is gone.

use super::{
    chat::chat_exists, chat_purge, lock, message_log, message_log::MessageLogTransaction,
    row::from_row,
};
use crate::{
    database::{Database, on},
    error::Error,
    model::{ChatId, MessageId, Role, Seq, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// Maximum number of attempts of a step. An attempt fails if the user wrote to another chat before the step
/// locked the user.
const ATTEMPTS: usize = 5;
/// Maximum number of messages in one step: some tens of milliseconds, during which the chats of these
/// messages are locked against other writers.
const MAX_MESSAGES: i64 = 1000;

/// Result of one step of a user's deletion.
#[derive(Clone, Debug)]
pub struct DeletionStep {
    /// Messages that became tombstones, in order of chat and seq.
    pub tombstones: Vec<Tombstone>,
    /// True if this step deleted the user; false if messages are left for a further step.
    pub done: bool,
}

/// A message that became a tombstone.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Id of the message.
    pub message_id: MessageId,
    /// Number of the deletion in the chat.
    pub seq: Seq,
}

from_row!(Tombstone {
    chat_id,
    message_id,
    seq
});

/// Runs one step: turns up to `MAX_MESSAGES` messages of the user into numbered tombstones. The last step
/// also deletes the user with their memberships and sessions. If the user is the last admin of a chat, the
/// member with the earliest join becomes admin. With `empty_chats_go`, a chat without another member is
/// deleted. Returns null if the user does not exist. The error is `unavailable` after `ATTEMPTS` failed
/// attempts.
pub(super) async fn step(
    database: &Database,
    user: UserId,
    now: Timestamp,
    empty_chats_go: bool,
) -> Result<Option<DeletionStep>, Error> {
    for _ in 0..ATTEMPTS {
        let mut tx = MessageLogTransaction(database.begin().await?);
        let chats = tx.chats_of_next(user).await?;
        tx.lock_chats(&chats).await?;
        chat_purge::lock_deleted_chats(&mut tx.0, &chats).await?;
        if !lock::lock_user(&mut tx.0, user).await? {
            return Ok(None);
        }
        // The lock on the user stops new messages and memberships. A message or membership that came before
        // the lock may be in a chat that is not locked yet, so the step starts over.
        if tx.chats_of_next(user).await? != chats {
            continue;
        }
        let anonymized = tx.anonymize(user).await?;
        let tombstones = tx.tombstone(user, now, MAX_MESSAGES - anonymized).await?;
        let mut advanced: Vec<ChatId> = tombstones.iter().map(|t| t.chat_id).collect();
        advanced.dedup();
        message_log::advance_to_last(&mut tx.0, &advanced).await?;
        let done = anonymized + (tombstones.len() as i64) < MAX_MESSAGES;
        if done {
            tx.promote_successors(user).await?;
            if empty_chats_go {
                tx.delete_empty_chats(user, now).await?;
            }
            tx.delete_user(user).await?;
        }
        tx.commit().await?;
        return Ok(Some(DeletionStep { tombstones, done }));
    }
    Err(Error::unavailable())
}

impl MessageLogTransaction {
    /// Returns the chats that the next step must lock, in order of id: the chats of the next `MAX_MESSAGES`
    /// messages. The last step adds all chats of the user, so that no concurrent change makes the user an
    /// admin or relies on the user as the remaining admin.
    async fn chats_of_next(&mut self, user: UserId) -> Result<Vec<ChatId>, Error> {
        const WRITTEN: &str = "SELECT chat_id, count(*) FROM ( \
                SELECT chat_id FROM message WHERE customer_id = $1 \
                ORDER BY chat_id, message_id LIMIT $2) AS upcoming GROUP BY chat_id";
        const JOINED: &str = concat!(
            "SELECT m.chat_id FROM customer_chat m WHERE m.customer_id = $1 AND ",
            chat_exists!("m.chat_id")
        );
        let written: Vec<(ChatId, i64)> = on!(tx &mut self.0, |db| query_as(WRITTEN)
            .bind(user)
            .bind(MAX_MESSAGES)
            .fetch_all(db)
            .await)?;
        let messages: i64 = written.iter().map(|(_, messages)| messages).sum();
        let mut chats: Vec<ChatId> = written.into_iter().map(|(chat, _)| chat).collect();
        if messages < MAX_MESSAGES {
            let joined: Vec<ChatId> = on!(tx &mut self.0, |db| query_scalar(JOINED)
                .bind(user)
                .fetch_all(db)
                .await)?;
            chats.extend(joined);
        }
        chats.sort_unstable();
        chats.dedup();
        Ok(chats)
    }

    /// Removes the author from messages that are already deleted, on their own or with their chat. Considers
    /// the next `MAX_MESSAGES` messages of the user and returns the number of anonymized messages.
    async fn anonymize(&mut self, user: UserId) -> Result<i64, Error> {
        const SQL: &str = concat!(
            "UPDATE message SET customer_id = NULL WHERE message_id IN (SELECT message_id FROM ( \
                SELECT message_id, chat_id, deleted_at FROM message WHERE customer_id = $1 \
                ORDER BY chat_id, message_id LIMIT $2) AS upcoming \
             WHERE upcoming.deleted_at IS NOT NULL OR NOT ",
            chat_exists!("upcoming.chat_id"),
            ")"
        );
        let anonymized = on!(tx &mut self.0, |db| query(SQL)
            .bind(user)
            .bind(MAX_MESSAGES)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(anonymized as i64)
    }

    /// Turns up to `most` messages of the user into tombstones without an author. Each tombstone gets the
    /// next seq of its chat. Returns the tombstones in order of chat and seq.
    async fn tombstone(
        &mut self,
        user: UserId,
        now: Timestamp,
        most: i64,
    ) -> Result<Vec<Tombstone>, Error> {
        const SQL: &str = "WITH upcoming AS ( \
                SELECT message_id, chat_id FROM message WHERE customer_id = $1 \
                ORDER BY chat_id, message_id LIMIT $3), \
            last_words AS ( \
                SELECT m.message_id, c.seq \
                    + row_number() OVER (PARTITION BY m.chat_id ORDER BY m.message_id) AS seq \
                FROM upcoming m JOIN chat c ON c.chat_id = m.chat_id) \
            UPDATE message SET content = NULL, customer_id = NULL, deleted_by = $1, \
                deleted_at = $2, seq = last_words.seq \
            FROM last_words WHERE message.message_id = last_words.message_id \
            RETURNING message.chat_id, message.message_id, message.seq";
        let mut tombstones: Vec<Tombstone> = on!(tx &mut self.0, |db| query_as(SQL)
            .bind(user)
            .bind(now)
            .bind(most)
            .fetch_all(db)
            .await)?;
        tombstones.sort_unstable_by_key(|t| (t.chat_id, t.seq));
        Ok(tombstones)
    }

    /// Makes the member with the earliest join the admin of each chat that has only this user as admin.
    async fn promote_successors(&mut self, user: UserId) -> Result<(), Error> {
        const SQL: &str = "UPDATE customer_chat SET role = $2 \
            WHERE customer_id <> $1 \
                AND chat_id IN (SELECT mine.chat_id FROM customer_chat mine \
                    WHERE mine.customer_id = $1 AND mine.role = $2 AND NOT EXISTS ( \
                        SELECT 1 FROM customer_chat other WHERE other.chat_id = mine.chat_id \
                            AND other.customer_id <> $1 AND other.role = $2)) \
                AND NOT EXISTS (SELECT 1 FROM customer_chat earlier \
                    WHERE earlier.chat_id = customer_chat.chat_id AND earlier.customer_id <> $1 \
                        AND (earlier.joined_at < customer_chat.joined_at \
                            OR (earlier.joined_at = customer_chat.joined_at \
                                AND earlier.customer_id < customer_chat.customer_id)))";
        on!(tx &mut self.0, |db| query(SQL)
            .bind(user)
            .bind(Role::Admin.as_str())
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Marks the user's chats without another member as deleted, because no user could read them any more.
    async fn delete_empty_chats(&mut self, user: UserId, now: Timestamp) -> Result<(), Error> {
        const SQL: &str = "UPDATE chat SET deleted_at = $2 \
            WHERE deleted_at IS NULL \
                AND chat_id IN (SELECT mine.chat_id FROM customer_chat mine \
                    WHERE mine.customer_id = $1 AND NOT EXISTS ( \
                        SELECT 1 FROM customer_chat other WHERE other.chat_id = mine.chat_id \
                            AND other.customer_id <> $1))";
        on!(tx &mut self.0, |db| query(SQL)
            .bind(user)
            .bind(now)
            .execute(db)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Deletes the user. Memberships and sessions are deleted by cascade.
    async fn delete_user(&mut self, user: UserId) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM customer WHERE customer_id = $1";
        on!(tx &mut self.0, |db| query(SQL).bind(user).execute(db).await.map(drop))?;
        Ok(())
    }
}
