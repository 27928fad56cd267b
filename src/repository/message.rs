//! Reads messages by id, by page and by change. The message log (`message_log`) writes them, and `search` finds them
//! by their text.

use super::{
    chat::chat_exists,
    list::List,
    page::{PageLimit, TextPage},
    row::from_row,
};
use crate::{
    database::{Database, on},
    error::Error,
    model::{ChatId, Message, MessageId, Seq, UserId},
};
use sqlx::{query_as, query_scalar};

/// Builds a query that returns messages with the author's current name. Every query for whole messages starts
/// with this text.
macro_rules! select_messages {
    (KIND $kind:literal, $($rest:expr),+ $(,)?) => {
        concat!("SELECT ", $kind, ", ", $crate::repository::message::message_columns!(), $($rest),+)
    };
    ($($rest:expr),+ $(,)?) => {
        concat!("SELECT ", $crate::repository::message::message_columns!(), $($rest),+)
    };
}
pub(super) use select_messages;

/// The columns of a whole message with the author's current name, and the tables that they come from.
macro_rules! message_columns {
    () => {
        concat!(
            "m.message_id, m.chat_id, m.customer_id, u.username, m.content, m.seq, \
             m.sent_at, m.edited_at, m.deleted_at, m.reply_to, m.client_message_id, m.sent_seq, \
             m.deleted_by FROM message m LEFT JOIN customer u ON u.customer_id = m.customer_id "
        )
    };
}
pub(super) use message_columns;

/// Builds 1 for a message `x` that is not deleted, and 0 for a tombstone, as the index `message_author` has it.
macro_rules! is_live {
    () => {
        "CAST(x.deleted_at IS NULL AS integer)"
    };
}
pub(super) use is_live;

/// Builds the latest message of a user in a chat, among the messages that are not deleted if `$live` is `>= 1`, and
/// among the tombstones if it is `<= 0`. The order begins with `is_live`, so that Postgres cannot take the index
/// of all message ids for it.
macro_rules! latest_of {
    ($user:literal, $chat:literal, $live:literal) => {
        concat!(
            "SELECT x.message_id FROM message x WHERE x.customer_id = ",
            $user,
            " AND x.chat_id = ",
            $chat,
            " AND ",
            $crate::repository::message::is_live!(),
            " ",
            $live,
            " ORDER BY ",
            $crate::repository::message::is_live!(),
            " DESC, x.message_id DESC LIMIT 1"
        )
    };
}
pub(super) use latest_of;

/// Builds the conditions and the order of a page of chat `$1` before message `$2`: newest first. On Postgres the page
/// begins at a key of chat and message (`repository/mod.rs` has the reason). SQLite reads the index of the chat in any
/// case, and would not begin at the message.
macro_rules! before {
    (POSTGRES) => {
        concat!(
            "m.chat_id >= $1 AND (m.chat_id, m.message_id) < ($1, $2) AND ",
            chat_exists!("$1"),
            " ORDER BY m.chat_id DESC, m.message_id DESC LIMIT $3"
        )
    };
    (SQLITE) => {
        concat!(
            "m.chat_id = $1 AND m.message_id < $2 AND ",
            chat_exists!("$1"),
            " ORDER BY m.message_id DESC LIMIT $3"
        )
    };
}
pub(super) use before;

/// Head of a chat: the number of its latest change.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Id of the chat.
    pub chat_id: ChatId,
    /// Number of the latest change; 0 if the chat has no change.
    pub seq: Seq,
}

from_row!(Head { chat_id, seq });

/// The chat of a message, and the role that the requesting user has in that chat.
#[derive(Clone, Debug)]
pub struct Located {
    /// Chat that the message was sent to.
    pub chat_id: ChatId,
    /// Role of the user in the chat; null if the user is not a member.
    pub role: Option<String>,
}

from_row!(Located { chat_id, role });

/// Reads messages.
#[derive(Clone, Copy)]
pub struct MessageRepository<'a>(pub(super) &'a Database);

impl MessageRepository<'_> {
    /// Returns the message with this id, tombstones included. Null if the message or its chat does not exist.
    pub async fn find(self, id: MessageId) -> Result<Option<Message>, Error> {
        const SQL: &str =
            select_messages!("WHERE m.message_id = $1 AND ", chat_exists!("m.chat_id"));
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the message with this id, tombstones included. Null if the message or its chat does not exist,
    /// or if the user is not a member of the chat.
    pub async fn find_as(self, user: UserId, id: MessageId) -> Result<Option<Message>, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.message_id = $1 AND EXISTS (SELECT 1 FROM customer_chat c \
                WHERE c.chat_id = m.chat_id AND c.customer_id = $2) AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(id)
            .bind(user)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the chat of a message and the user's role in it. Null if the message or its chat does not
    /// exist.
    pub async fn locate_as(self, user: UserId, id: MessageId) -> Result<Option<Located>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id, (SELECT c.role FROM customer_chat c \
                WHERE c.chat_id = m.chat_id AND c.customer_id = $2) AS role \
             FROM message m WHERE m.message_id = $1 AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(id)
            .bind(user)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the messages with these ids, in no particular order. Missing messages are left out; messages
    /// of a deleted chat are returned until the purge removes them.
    pub async fn find_all(self, ids: &[MessageId]) -> Result<Vec<Message>, Error> {
        const POSTGRES: &str = select_messages!("WHERE m.message_id = ANY($1)");
        const SQLITE: &str =
            select_messages!("WHERE m.message_id IN (SELECT value FROM json_each($1))");
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .bind(List(ids))
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the chat that a message was sent to; null if the message or its chat does not exist. The chat
    /// of a message never changes.
    pub async fn chat_of(self, id: MessageId) -> Result<Option<ChatId>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id FROM message m WHERE m.message_id = $1 AND ",
            chat_exists!("m.chat_id")
        );
        Ok(on!(read self.0, |db| query_scalar(SQL)
            .bind(id)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the newest messages of the chat with ids below `before`, newest first.
    pub async fn page(
        self,
        chat: ChatId,
        before: MessageId,
        most: PageLimit,
    ) -> Result<TextPage<Message>, Error> {
        const POSTGRES: &str = select_messages!("WHERE ", before!(POSTGRES));
        const SQLITE: &str = select_messages!("WHERE ", before!(SQLITE));
        Ok(on!(read self.0, [POSTGRES, SQLITE], |sql, db| {
            let query = query_as(sql).bind(chat).bind(before).bind(most.rows);
            TextPage::read(query.fetch(db), most.bytes, Message::size).await
        })?)
    }

    /// Returns the messages that changed after `since`, in order of the number of their latest change.
    pub async fn since(
        self,
        chat: ChatId,
        since: Seq,
        most: PageLimit,
    ) -> Result<TextPage<Message>, Error> {
        const SQL: &str = select_messages!(
            "WHERE m.chat_id <= $1 AND (m.chat_id, m.seq) > ($1, $2) AND ",
            chat_exists!("$1"),
            " ORDER BY m.chat_id, m.seq LIMIT $3"
        );
        Ok(on!(read self.0, |db| {
            let query = query_as(SQL).bind(chat).bind(since).bind(most.rows);
            TextPage::read(query.fetch(db), most.bytes, Message::size).await
        })?)
    }
}
