//! Messages, for reading. They are written through the log.

use super::{Most, Portion, chat::living_chat, dialect};
use crate::{
    error::Error,
    model::{ChatId, Message, MessageId, Seq},
    store::{Store, on},
};
use sqlx::{query_as, query_scalar};

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

/// The number of a chat's latest change.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Head {
    /// The chat.
    pub chat_id: ChatId,
    /// Its latest change.
    pub seq: Seq,
}

/// Reads messages.
#[derive(Clone)]
pub struct MessageRepository(Store);

impl MessageRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// The message of that id, deleted or not.
    pub async fn find(&self, id: MessageId) -> Result<Option<Message>, Error> {
        const SQL: &str =
            select_messages!("WHERE m.message_id = $1 AND ", living_chat!("m.chat_id"));
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(id)
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
            living_chat!("m.chat_id")
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

    /// The newest messages with ids under `before`, oldest first.
    pub async fn page(
        &self,
        chat: ChatId,
        before: MessageId,
        most: Most,
    ) -> Result<Portion, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.chat_id = $1 AND m.message_id < $2 AND ",
            living_chat!("$1"),
            " ORDER BY m.message_id DESC LIMIT $3"
        );
        let page = on!(read & self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(before).bind(most.rows);
            Portion::read(query.fetch(db), most.bytes).await
        });
        Ok(page?.reversed())
    }

    /// The messages whose latest change came after `since`, by that change.
    pub async fn since(&self, chat: ChatId, since: Seq, most: Most) -> Result<Portion, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.chat_id = $1 AND m.seq > $2 AND ",
            living_chat!("$1"),
            " ORDER BY m.seq LIMIT $3"
        );
        Ok(on!(read & self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(since).bind(most.rows);
            Portion::read(query.fetch(db), most.bytes).await
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

    /// Like `page`, of messages whose text holds `text`, in whatever case.
    pub async fn search(
        &self,
        chat: ChatId,
        text: &str,
        before: MessageId,
        most: Most,
    ) -> Result<Portion, Error> {
        let page = dialect::search(&self.0, chat, text, before, most).await?;
        Ok(page.reversed())
    }
}
