//! Messages, for reading. They are written through the log.

use super::{chat::chat_exists, dialect};
use crate::{
    database::{Database, on},
    error::Error,
    model::{ChatId, Message, MessageId, SearchText, Seq, UserId},
};
use futures_util::TryStreamExt;
use sqlx::{Result, query_as, query_scalar};
use tokio::task::coop as task;

/// A message with its author's present name; every query of messages begins so.
macro_rules! select_messages {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT m.message_id, m.chat_id, m.customer_id, u.username, m.content, m.seq, \
             m.sent_at, m.edited_at, m.deleted_at, m.reply_to, m.client_message_id, m.sent_seq, \
             m.deleted_by FROM message m LEFT JOIN customer u ON u.customer_id = m.customer_id ",
            $($rest),+
        )
    };
}
pub(super) use select_messages;

/// Most messages that one search looks at: some 50 ms of work. Further ones are for the next page.
const LOOKED_AT_ROWS: i64 = 20_000;
/// Most bytes of text that one search looks at.
const LOOKED_AT_BYTES: usize = 8 * 1024 * 1024;

/// The number of a chat's latest change.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Head {
    /// The chat.
    pub chat_id: ChatId,
    /// Its latest change.
    pub seq: Seq,
}

/// Where a message is, for a user who asks for it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Located {
    /// The chat it was sent to.
    pub chat_id: ChatId,
    /// The user's role there; none where they do not belong to it.
    pub role: Option<String>,
}

/// Reads messages.
#[derive(Clone)]
pub struct MessageRepository(Database);

impl MessageRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// The message of that id, deleted or not.
    pub async fn find(&self, id: MessageId) -> Result<Option<Message>, Error> {
        const SQL: &str =
            select_messages!("WHERE m.message_id = $1 AND ", chat_exists!("m.chat_id"));
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// The same, where the user belongs to its chat.
    pub async fn find_as(&self, user: UserId, id: MessageId) -> Result<Option<Message>, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.message_id = $1 AND EXISTS (SELECT 1 FROM customer_chat c \
                WHERE c.chat_id = m.chat_id AND c.customer_id = $2) AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .bind(user)
            .fetch_optional(db)
            .await)?)
    }

    /// Where a message is, and as what the user belongs to its chat.
    pub async fn locate_as(&self, user: UserId, id: MessageId) -> Result<Option<Located>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id, (SELECT c.role FROM customer_chat c \
                WHERE c.chat_id = m.chat_id AND c.customer_id = $2) AS role \
             FROM message m WHERE m.message_id = $1 AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
            .bind(user)
            .fetch_optional(db)
            .await)?)
    }

    /// The messages of those ids, in no particular order.
    pub async fn find_all(&self, ids: &[MessageId]) -> Result<Vec<Message>, Error> {
        Ok(dialect::read_messages(&self.0, ids).await?)
    }

    /// The chat a message was sent to, which never changes.
    pub async fn chat_of(&self, id: MessageId) -> Result<Option<ChatId>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id FROM message m WHERE m.message_id = $1 AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read & self.0, |db| query_scalar(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// The number of the chat's latest change; none where there is no such chat.
    pub async fn head(&self, chat: ChatId) -> Result<Option<Seq>, Error> {
        const SQL: &str = "SELECT seq FROM chat WHERE chat_id = $1 AND deleted_at IS NULL";
        Ok(on!(read & self.0, |db| query_scalar(SQL)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// The newest messages with ids under `before`, newest first.
    pub async fn page(
        &self,
        chat: ChatId,
        before: MessageId,
        most: PageLimit,
    ) -> Result<MessagePage, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.chat_id = $1 AND m.message_id < $2 AND ",
            chat_exists!("$1"),
            " ORDER BY m.message_id DESC LIMIT $3"
        );
        Ok(on!(read & self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(before).bind(most.rows);
            MessagePage::read(query.fetch(db), most.bytes).await
        })?)
    }

    /// The messages whose latest change came after `since`, by that change.
    pub async fn since(
        &self,
        chat: ChatId,
        since: Seq,
        most: PageLimit,
    ) -> Result<MessagePage, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.chat_id = $1 AND m.seq > $2 AND ",
            chat_exists!("$1"),
            " ORDER BY m.seq LIMIT $3"
        );
        Ok(on!(read & self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(since).bind(most.rows);
            MessagePage::read(query.fetch(db), most.bytes).await
        })?)
    }

    /// How many messages changed after `since`, counted no further than `most`.
    pub async fn count_since(&self, chat: ChatId, since: Seq, most: i64) -> Result<i64, Error> {
        const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM message \
                           WHERE chat_id = $1 AND seq > $2 LIMIT $3) changed";
        Ok(on!(read & self.0, |db| query_scalar(SQL)
            .bind(chat)
            .bind(since)
            .bind(most)
            .fetch_one(db)
            .await)?)
    }

    /// The newest messages with ids under `before` that hold `text`, newest first. A bounded part of the
    /// chat is looked at, whatever it holds.
    pub async fn search(
        &self,
        chat: ChatId,
        text: &SearchText,
        before: MessageId,
        most: PageLimit,
    ) -> Result<Found, Error> {
        const SQL: &str = concat!(
            "SELECT m.message_id, m.content FROM message m \
             WHERE m.chat_id = $1 AND m.message_id < $2 AND m.content IS NOT NULL AND ",
            chat_exists!("$1"),
            " ORDER BY m.message_id DESC LIMIT $3"
        );
        let found = on!(read & self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(before).bind(LOOKED_AT_ROWS);
            Found::look(query.fetch(db), text, most).await
        });
        Ok(found?)
    }
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// The messages, newest first.
    pub ids: Vec<MessageId>,
    /// The message before which a further search goes on. None where there is no earlier one.
    pub next: Option<MessageId>,
}

impl Found {
    /// Takes contents as they come, and stops at enough of them, found or looked at.
    async fn look<S>(mut contents: S, text: &SearchText, most: PageLimit) -> sqlx::Result<Self>
    where
        S: TryStreamExt<Ok = (MessageId, String), Error = sqlx::Error> + Unpin,
    {
        let (mut ids, mut held) = (Vec::new(), 0);
        let (mut rows, mut bytes, mut last) = (0, 0, None);
        while let Some((id, content)) = contents.try_next().await? {
            // Rows that are ready at once would keep the thread from other work.
            task::consume_budget().await;
            if text.is_in(&content) {
                held += content.len();
                if ids.len() as i64 == most.rows || (held > most.bytes && !ids.is_empty()) {
                    return Ok(Self { ids, next: last });
                }
                ids.push(id);
            }
            (rows, bytes, last) = (rows + 1, bytes + content.len(), Some(id));
            if rows == LOOKED_AT_ROWS || bytes >= LOOKED_AT_BYTES {
                return Ok(Self { ids, next: last });
            }
        }
        Ok(Self { ids, next: None })
    }
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Messages.
    pub rows: i64,
    /// Bytes of their text. One message is always read, however long.
    pub bytes: usize,
}

/// What was read.
#[derive(Debug)]
pub struct MessagePage {
    /// The messages.
    pub rows: Vec<Message>,
    /// Whether there were more, whose text was too much.
    pub cut: bool,
}

impl MessagePage {
    /// Takes messages as they come, and stops where they are too many bytes: what follows is never
    /// held.
    pub(super) async fn read<S>(mut messages: S, bytes: usize) -> Result<Self>
    where
        S: TryStreamExt<Ok = Message, Error = sqlx::Error> + Unpin,
    {
        let (mut rows, mut held) = (Vec::new(), 0);
        while let Some(message) = messages.try_next().await? {
            held += message.size();
            if held > bytes && !rows.is_empty() {
                return Ok(Self { rows, cut: true });
            }
            rows.push(message);
        }
        Ok(Self { rows, cut: false })
    }
}
