//! The log: numbered changes of messages, written many to a transaction. Whoever writes locks the
//! chats first, so that numbers, message ids and commits come in one order on every server.

use super::{Attempt, Head, LoneMessage, dialect, lone};
use crate::{
    error::Error,
    model::{ChatId, ClientMessageId, Content, Message, MessageId, Role, Seq, Timestamp, UserId},
    store::{Store, StoreTransaction, on},
};
use sqlx::{query, query_as, query_scalar};

/// How often a user's deletion starts over because they wrote to yet another chat meanwhile.
const DELETE_ATTEMPTS: usize = 5;
/// Most messages that become tombstones in one transaction: some tens of milliseconds, during
/// which nobody else writes to their chats.
const BURIED_AT_ONCE: i64 = 1000;

/// Writes the log.
#[derive(Clone)]
pub struct LogRepository(Store);

/// A transaction on the log; nothing of it is seen before its commit.
pub struct LogTransaction(StoreTransaction);

/// A user as a batch needs them: once for each of the batch's chats they belong to, or once
/// without a chat.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Person {
    /// Who.
    pub customer_id: UserId,
    /// Their stored name.
    pub username: String,
    /// A chat they belong to.
    pub chat_id: Option<ChatId>,
    /// As what; text, because the column may be null here.
    pub role: Option<String>,
}

impl Person {
    /// The membership that this row tells of.
    #[must_use]
    pub fn membership(&self) -> Option<(ChatId, Role)> {
        Some((self.chat_id?, Role::from(self.role.clone()?)))
    }
}

/// A sender's own name for a message, in a chat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyed {
    /// Where.
    pub chat: ChatId,
    /// Who.
    pub author: UserId,
    /// The name.
    pub key: ClientMessageId,
}

/// A message to store.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Where.
    pub chat: ChatId,
    /// Who.
    pub author: UserId,
    /// What.
    pub content: Content,
    /// Its number.
    pub seq: Seq,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// The sender's own name for it.
    pub key: Option<ClientMessageId>,
}

impl NewMessage {
    /// The message as it is once stored.
    #[must_use]
    pub fn stored(&self, id: MessageId, username: Option<String>, at: Timestamp) -> Message {
        Message {
            message_id: id,
            chat_id: self.chat,
            customer_id: Some(self.author),
            username,
            content: Some(self.content.as_str().to_owned()),
            seq: self.seq,
            sent_at: at,
            edited_at: None,
            deleted_at: None,
            reply_to: self.reply_to,
            client_message_id: self.key.as_ref().map(|key| key.as_str().to_owned()),
            sent_seq: self.seq,
            deleted_by: None,
        }
    }
}

/// A user's deletion, or a part of it.
#[derive(Clone, Debug)]
pub struct Burial {
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

impl LogRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Stores a message with the next number of its chat, where all is as it mostly is: chat and
    /// author exist, the author may write, the name is new.
    pub async fn send_alone(&self, new: &LoneMessage<'_>, now: Timestamp) -> Attempt {
        lone::send(&self.0, new, now).await
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<LogTransaction, Error> {
        self.0.begin().await.map(LogTransaction)
    }

    /// Begins a transaction that waits for a lock no longer than a moment.
    pub async fn begin_in_haste(&self) -> Result<LogTransaction, Error> {
        let mut tx = self.0.begin().await?;
        dialect::be_in_haste(&mut tx).await?;
        Ok(LogTransaction(tx))
    }

    /// Those of the chats that nobody has locked at this moment.
    pub async fn unlocked(&self, chats: &[ChatId]) -> Result<Vec<ChatId>, Error> {
        let mut tx = self.0.begin().await?;
        Ok(dialect::unlocked(&mut tx, chats).await?)
    }

    /// The heads of chats as they are committed; those that do not exist are left out.
    pub async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, Error> {
        Ok(dialect::heads(&self.0, chats).await?)
    }

    /// Turns a user's messages into numbered tombstones, so many in one transaction, and with the
    /// last of them deletes the user, their memberships and sessions. A chat whose last admin they
    /// are gets the member who has been in it longest for an admin. None where there is no such user.
    pub async fn delete_user(&self, user: UserId, now: Timestamp) -> Result<Option<Burial>, Error> {
        for _ in 0..DELETE_ATTEMPTS {
            let mut tx = self.begin().await?;
            let chats = tx.chats_written_by(user).await?;
            let run = tx.chats_run_by(user).await?;
            let mut all = [chats.as_slice(), run.as_slice()].concat();
            all.sort_unstable();
            all.dedup();
            tx.lock_chats(&all).await?;
            if !dialect::lock_user(&mut tx.0, user).await? {
                return Ok(None);
            }
            // With the user locked nothing new of theirs can come; something may have come before.
            let same = tx.chats_written_by(user).await? == chats;
            if !same || tx.chats_run_by(user).await? != run {
                continue;
            }
            let tombstones = tx.bury(user, now).await?;
            dialect::advance_to_last(&mut tx.0, &chats).await?;
            let done = (tombstones.len() as i64) < BURIED_AT_ONCE;
            if done {
                tx.succeed(user).await?;
                tx.delete_user(user).await?;
            }
            tx.commit().await?;
            return Ok(Some(Burial { tombstones, done }));
        }
        Err(Error::unavailable())
    }
}

impl LogTransaction {
    /// Locks the chats against every other writer, in one order, and tells their heads. Chats
    /// that do not exist are left out.
    pub async fn lock_chats(&mut self, chats: &[ChatId]) -> Result<Vec<Head>, Error> {
        Ok(dialect::lock_chats(&mut self.0, chats).await?)
    }

    /// The users with their memberships in `chats`; they cannot be deleted before the commit.
    pub async fn people(
        &mut self,
        users: &[UserId],
        chats: &[ChatId],
    ) -> Result<Vec<Person>, Error> {
        Ok(dialect::people(&mut self.0, users, chats).await?)
    }

    /// The messages of those ids in those chats.
    pub async fn messages(&mut self, named: &[(ChatId, MessageId)]) -> Result<Vec<Message>, Error> {
        Ok(dialect::messages(&mut self.0, named).await?)
    }

    /// The messages that are stored already under these names.
    pub async fn duplicates(&mut self, keys: &[Keyed]) -> Result<Vec<Message>, Error> {
        Ok(dialect::duplicates(&mut self.0, keys).await?)
    }

    /// The user's latest message in the chat that is not deleted.
    pub async fn latest(&mut self, user: UserId, chat: ChatId) -> Result<Option<MessageId>, Error> {
        const SQL: &str = "SELECT message_id FROM message \
                           WHERE customer_id = $1 AND chat_id = $2 AND deleted_at IS NULL \
                           ORDER BY message_id DESC LIMIT 1";
        Ok(on!(tx &mut self.0, |db| query_scalar(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores new messages, moves the chats' heads, and gives the ids in the order of the rows.
    pub async fn append(
        &mut self,
        rows: &[NewMessage],
        heads: &[Head],
        now: Timestamp,
    ) -> Result<Vec<MessageId>, Error> {
        Ok(dialect::append(&mut self.0, rows, heads, now).await?)
    }

    /// Stores the present state of messages that were edited or deleted.
    pub async fn update(&mut self, messages: &[Message]) -> Result<(), Error> {
        Ok(dialect::update(&mut self.0, messages).await?)
    }

    /// Moves the chats' heads.
    pub async fn advance(&mut self, heads: &[Head]) -> Result<(), Error> {
        Ok(dialect::advance(&mut self.0, heads).await?)
    }

    /// Makes it last. An error leaves open whether it did.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }

    async fn chats_written_by(&mut self, user: UserId) -> Result<Vec<ChatId>, Error> {
        const SQL: &str = "SELECT DISTINCT chat_id FROM message \
                           WHERE customer_id = $1 AND deleted_at IS NULL ORDER BY chat_id";
        Ok(on!(tx &mut self.0, |db| query_scalar(SQL).bind(user).fetch_all(db).await)?)
    }

    async fn chats_run_by(&mut self, user: UserId) -> Result<Vec<ChatId>, Error> {
        const SQL: &str = "SELECT chat_id FROM customer_chat \
                           WHERE customer_id = $1 AND role = $2 ORDER BY chat_id";
        Ok(on!(tx &mut self.0, |db| query_scalar(SQL)
            .bind(user)
            .bind(Role::Admin.as_str())
            .fetch_all(db)
            .await)?)
    }

    /// Makes the longest-standing member admin of each chat whose last admin the user is.
    async fn succeed(&mut self, user: UserId) -> Result<(), Error> {
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

    /// Turns the first of the user's messages into tombstones of nobody.
    async fn bury(&mut self, user: UserId, now: Timestamp) -> Result<Vec<Tombstone>, Error> {
        const SQL: &str = "WITH last_words AS ( \
                SELECT m.chat_id, m.message_id, c.seq \
                    + row_number() OVER (PARTITION BY m.chat_id ORDER BY m.message_id) AS seq \
                FROM message m JOIN chat c ON c.chat_id = m.chat_id \
                WHERE m.customer_id = $1 AND m.deleted_at IS NULL \
                ORDER BY m.chat_id, m.message_id LIMIT $3) \
            UPDATE message SET content = NULL, customer_id = NULL, deleted_by = $1, \
                deleted_at = $2, seq = last_words.seq \
            FROM last_words WHERE message.message_id = last_words.message_id \
                AND message.chat_id = last_words.chat_id \
            RETURNING message.chat_id, message.message_id, message.seq";
        let mut tombstones: Vec<Tombstone> = on!(tx &mut self.0, |db| query_as(SQL)
            .bind(user)
            .bind(now)
            .bind(BURIED_AT_ONCE)
            .fetch_all(db)
            .await)?;
        tombstones.sort_unstable_by_key(|t| (t.chat_id, t.seq));
        Ok(tombstones)
    }

    async fn delete_user(&mut self, user: UserId) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM customer WHERE customer_id = $1";
        on!(tx &mut self.0, |db| query(SQL).bind(user).execute(db).await.map(drop))?;
        Ok(())
    }
}
