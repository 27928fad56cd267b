//! The deletion of a user, a step at a time: however much they have written, no step holds anybody up
//! for long.

use super::{chat::chat_exists, dialect, message_log::MessageLogTransaction};
use crate::{
    database::{Database, on},
    error::Error,
    model::{ChatId, MessageId, Role, Seq, Timestamp, UserId},
};
use sqlx::{query, query_as, query_scalar};

/// How often a step starts over because the user wrote to yet another chat meanwhile.
const ATTEMPTS: usize = 5;
/// Most messages of one step: some tens of milliseconds, during which nobody else writes to their
/// chats.
const AT_ONCE: i64 = 1000;

/// A user's deletion, or a part of it.
#[derive(Clone, Debug)]
pub struct DeletionStep {
    /// The tombstones it leaves, by chat and number.
    pub tombstones: Vec<Tombstone>,
    /// Whether the user is gone too.
    pub done: bool,
}

/// A message that became a tombstone.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Tombstone {
    /// Where.
    pub chat_id: ChatId,
    /// Which.
    pub message_id: MessageId,
    /// The number of its deletion.
    pub seq: Seq,
}

/// Turns the next of a user's messages into numbered tombstones, and with the last of them
/// deletes the user, their memberships and sessions. A chat whose last admin they are gets the
/// member who has been in it longest for an admin; with `empty_chats_go`, one without another member
/// is deleted. None where there is no such user.
pub(super) async fn step(
    store: &Database,
    user: UserId,
    now: Timestamp,
    empty_chats_go: bool,
) -> Result<Option<DeletionStep>, Error> {
    for _ in 0..ATTEMPTS {
        let mut tx = MessageLogTransaction(store.begin().await?);
        let chats = tx.chats_of_next(user).await?;
        tx.lock_chats(&chats).await?;
        dialect::lock_deleted_chats(&mut tx.0, &chats).await?;
        if !dialect::lock_user(&mut tx.0, user).await? {
            return Ok(None);
        }
        // With the user locked nothing new of theirs can come; something may have come before.
        if tx.chats_of_next(user).await? != chats {
            continue;
        }
        let forgotten = tx.anonymize(user).await?;
        let tombstones = tx.bury(user, now, AT_ONCE - forgotten).await?;
        let mut moved: Vec<ChatId> = tombstones.iter().map(|t| t.chat_id).collect();
        moved.dedup();
        dialect::advance_to_last(&mut tx.0, &moved).await?;
        let done = forgotten + (tombstones.len() as i64) < AT_ONCE;
        if done {
            tx.promote_successors(user).await?;
            if empty_chats_go {
                tx.close_empty(user, now).await?;
            }
            tx.delete_user(user).await?;
        }
        tx.commit().await?;
        return Ok(Some(DeletionStep { tombstones, done }));
    }
    Err(Error::unavailable())
}

impl MessageLogTransaction {
    /// The chats that the next step is about, in order: those of the next messages, and with the
    /// last of them all that the user belongs to: meanwhile no one there makes them admin, or relies
    /// on them as admin.
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
            .bind(AT_ONCE)
            .fetch_all(db)
            .await)?;
        let messages: i64 = written.iter().map(|(_, messages)| messages).sum();
        let mut chats: Vec<ChatId> = written.into_iter().map(|(chat, _)| chat).collect();
        if messages < AT_ONCE {
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

    /// Takes the user's name from those of the next messages that have an end already, by
    /// themselves or with their chat; tells how many.
    async fn anonymize(&mut self, user: UserId) -> Result<i64, Error> {
        const SQL: &str = concat!(
            "UPDATE message SET customer_id = NULL WHERE message_id IN (SELECT message_id FROM ( \
                SELECT message_id, chat_id, deleted_at FROM message WHERE customer_id = $1 \
                ORDER BY chat_id, message_id LIMIT $2) AS upcoming \
             WHERE upcoming.deleted_at IS NOT NULL OR NOT ",
            chat_exists!("upcoming.chat_id"),
            ")"
        );
        let forgotten = on!(tx &mut self.0, |db| query(SQL)
            .bind(user)
            .bind(AT_ONCE)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(forgotten as i64)
    }

    /// Turns the next of the user's messages into tombstones of nobody, by chat and number.
    async fn bury(
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

    /// Makes the longest-standing member admin of each chat whose last admin the user is.
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

    /// Deletes the chats without another member: after the user no one would see them.
    async fn close_empty(&mut self, user: UserId, now: Timestamp) -> Result<(), Error> {
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

    async fn delete_user(&mut self, user: UserId) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM customer WHERE customer_id = $1";
        on!(tx &mut self.0, |db| query(SQL).bind(user).execute(db).await.map(drop))?;
        Ok(())
    }
}
