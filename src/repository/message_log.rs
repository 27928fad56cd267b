//! The message log: the numbered changes of messages, written in batches with one transaction per batch.
//! Every writer locks the chats first, so that seqs, message ids and commits have one order on all nodes.

use super::{
    heads::Heads,
    list::{List, column, json, rows},
    lock,
    message::{Head, latest_of, select_messages},
    row::from_row,
    user_deletion::{self, DeletionCursor, DeletionStep},
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        ChatId, ClientMessageId, Message, MessageId, NewMessage, Role, Seq, Timestamp, UserId,
    },
};
use sqlx::{Result, query, query_as, query_as_with, query_scalar, query_with};
use std::collections::HashMap;

/// Builds the assignments that move the head of a row `c` of `chat` to `$seq`, with the chat's latest message: `$last`,
/// or the present one if that is null. The present one counts as the latest only if it was so up to now.
macro_rules! moved {
    ($seq:literal, $last:literal) => {
        concat!(
            "seq = ",
            $seq,
            ", last_message_id = coalesce(",
            $last,
            ", c.last_message_id), last_message_seq = CASE WHEN ",
            $last,
            " IS NOT NULL OR c.last_message_seq = c.seq THEN ",
            $seq,
            " ELSE c.last_message_seq END"
        )
    };
}

/// Writes to the message log.
#[derive(Clone, Copy)]
pub struct MessageLogRepository<'a>(pub(super) &'a Database);

/// A transaction on the message log. Other transactions see its changes only after `commit`.
pub struct MessageLogTransaction(pub(super) DatabaseTransaction);

/// A user with one membership, as a batch needs it. A user yields one row for each of their chats in the
/// batch, or one row without a chat.
#[derive(Clone, Debug)]
pub struct Author {
    /// Id of the user.
    pub customer_id: UserId,
    /// Stored name of the user.
    pub username: String,
    /// Chat that the user is a member of; null if the user is a member of no chat in the batch.
    pub chat_id: Option<ChatId>,
    /// Role in that chat; null if `chat_id` is null. A text, because the column may be null here.
    pub role: Option<String>,
}

from_row!(Author {
    customer_id,
    username,
    chat_id,
    role
});

impl Author {
    /// Returns the membership of this row; null if the user is a member of no chat in the batch.
    #[must_use]
    pub fn membership(&self) -> Option<(ChatId, Role)> {
        Some((self.chat_id?, Role::from(self.role.clone()?)))
    }
}

/// Idempotency key of a message: the client message id, unique for one author in one chat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Chat that the message is sent to.
    pub chat: ChatId,
    /// Author of the message.
    pub author: UserId,
    /// Client message id that the author chose.
    pub client_message_id: ClientMessageId,
}

impl IdempotencyKey {
    /// Returns the idempotency key of a new message; null if it has none.
    #[must_use]
    pub fn of(message: &NewMessage) -> Option<Self> {
        Some(Self {
            chat: message.chat,
            author: message.author,
            client_message_id: message.client_message_id.clone()?,
        })
    }

    /// Returns the idempotency key that a stored message was sent with; null if it has none, or if its author
    /// was deleted.
    #[must_use]
    pub fn of_stored(message: &Message) -> Option<Self> {
        Some(Self {
            chat: message.chat_id,
            author: message.customer_id?,
            client_message_id: ClientMessageId::parse(message.client_message_id.clone()?).ok()?,
        })
    }
}

impl MessageLogRepository<'_> {
    /// Begins a transaction.
    pub async fn begin(self) -> Result<MessageLogTransaction, Error> {
        self.0.begin().await.map(MessageLogTransaction)
    }

    /// Begins a transaction in which each wait for a lock is limited to 250 ms on Postgres.
    pub async fn begin_with_short_lock_timeout(self) -> Result<MessageLogTransaction, Error> {
        let mut tx = self.0.begin().await?;
        lock::set_short_lock_timeout(&mut tx).await?;
        Ok(MessageLogTransaction(tx))
    }

    /// Returns the chats that no other transaction has locked at the time of the query. The chats are not
    /// locked when the function returns.
    pub async fn unlocked(self, chats: &[ChatId]) -> Result<Vec<ChatId>, Error> {
        let mut tx = self.0.begin().await?;
        Ok(lock::unlocked(&mut tx, chats).await?)
    }

    /// Runs one step of a user's deletion: deletes the user's next messages after `after`, then memberships, and
    /// at last the user. With `empty_chats_go`, chats without another member are deleted too. Null if the user
    /// does not exist.
    pub async fn delete_user(
        self,
        user: UserId,
        now: Timestamp,
        empty_chats_go: bool,
        after: DeletionCursor,
    ) -> Result<Option<DeletionStep>, Error> {
        user_deletion::step(self.0, user, now, empty_chats_go, after).await
    }

    /// Returns the committed heads of the chats. Missing and deleted chats are left out.
    pub async fn heads(self, chats: &[ChatId]) -> Result<Vec<Head>, Error> {
        // One lookup for each chat: Postgres would read all chats for a list of many.
        const POSTGRES: &str = "SELECT h.chat_id, h.seq FROM unnest($1::bigint[]) AS k (id) \
            CROSS JOIN LATERAL (SELECT chat_id, seq FROM chat \
                WHERE chat_id = k.id AND deleted_at IS NULL LIMIT 1) AS h";
        const SQLITE: &str = "SELECT chat_id, seq FROM chat \
                              WHERE chat_id IN (SELECT value FROM json_each($1)) \
                              AND deleted_at IS NULL";
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .bind(List(chats))
            .fetch_all(db)
            .await)?;
        Ok(found)
    }
}

impl MessageLogTransaction {
    /// Locks the chats against all other writers, in order of id, and returns their heads. Missing and
    /// deleted chats have none.
    pub async fn lock_chats(&mut self, chats: &[ChatId]) -> Result<Heads, Error> {
        Ok(lock::lock_chats(&mut self.0, chats).await?)
    }

    /// Returns the users, each with its membership in a chat. A user that does not exist is left out. The users
    /// cannot be deleted before the commit. `pairs` is sorted, so that users are locked in order of id.
    pub async fn authors(&mut self, pairs: &[(UserId, ChatId)]) -> Result<Vec<Author>, Error> {
        // One lookup for each pair: Postgres would read all members of the chats, or all chats of the users.
        const POSTGRES: &str = "SELECT u.customer_id, u.username, m.chat_id, m.role \
            FROM unnest($1::bigint[], $2::bigint[]) AS k (author, chat) \
            CROSS JOIN LATERAL (SELECT customer_id, username FROM customer \
                WHERE customer_id = k.author FOR KEY SHARE) AS u \
            LEFT JOIN LATERAL (SELECT chat_id, role FROM customer_chat \
                WHERE chat_id = k.chat AND customer_id = k.author LIMIT 1) AS m ON TRUE";
        const SQLITE: &str = "SELECT u.customer_id, u.username, m.chat_id, m.role \
            FROM json_each($1) AS k JOIN customer u ON u.customer_id = k.value ->> 0 \
            LEFT JOIN customer_chat m \
                ON m.chat_id = k.value ->> 1 AND m.customer_id = k.value ->> 0";
        let pairs = rows(pairs, |(user, chat)| [user.0, chat.0]);
        let found = on!(tx &mut self.0, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, pairs)
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the messages with these ids in these chats. Missing messages are left out. The chat is part of
    /// each condition, because on Postgres the primary key is `(chat_id, message_id)` and the table may be
    /// partitioned by chat.
    pub async fn messages(&mut self, named: &[(ChatId, MessageId)]) -> Result<Vec<Message>, Error> {
        const POSTGRES: &str = select_messages!(
            "JOIN unnest($1::bigint[], $2::bigint[]) AS k (chat, id) \
             ON m.chat_id = k.chat AND m.message_id = k.id"
        );
        const SQLITE: &str = select_messages!(
            "JOIN json_each($1) AS k ON m.chat_id = k.value ->> 0 AND m.message_id = k.value ->> 1"
        );
        let named = rows(named, |(chat, id)| [chat.0, id.0]);
        let found = on!(tx &mut self.0, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, named)
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the messages that are already stored under these idempotency keys. The condition `IS NOT NULL`
    /// lets Postgres use the partial index on the keys, with one lookup for each key.
    pub async fn duplicates(&mut self, keys: &[IdempotencyKey]) -> Result<Vec<Message>, Error> {
        const POSTGRES: &str = concat!(
            "SELECT d.* FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS k (chat, author, key) \
             CROSS JOIN LATERAL (",
            select_messages!(
                "WHERE m.chat_id = k.chat AND m.customer_id = k.author \
                 AND m.client_message_id = k.key AND m.client_message_id IS NOT NULL LIMIT 1"
            ),
            ") AS d"
        );
        const SQLITE: &str = select_messages!(
            "JOIN json_each($1) AS k ON m.chat_id = k.value ->> 0 \
             AND m.customer_id = k.value ->> 1 AND m.client_message_id = k.value ->> 2 \
             AND m.client_message_id IS NOT NULL"
        );
        let found = match &mut self.0 {
            DatabaseTransaction::Postgres(tx) => {
                query_as(POSTGRES)
                    .bind(column(keys, |k| k.chat.0))
                    .bind(column(keys, |k| k.author.0))
                    .bind(column(keys, |k| k.client_message_id.as_str()))
                    .fetch_all(&mut **tx)
                    .await
            }
            DatabaseTransaction::Sqlite(tx) => {
                let rows = json(keys, |k| {
                    (k.chat.0, k.author.0, k.client_message_id.as_str())
                });
                query_as(SQLITE).bind(rows).fetch_all(&mut **tx).await
            }
        }?;
        Ok(found)
    }

    /// Returns the user's latest message in the chat that is not deleted; null if there is none.
    pub async fn latest(&mut self, user: UserId, chat: ChatId) -> Result<Option<MessageId>, Error> {
        const SQL: &str = latest_of!("$1", "$2", ">= 1");
        Ok(on!(tx &mut self.0, |db| query_scalar(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Stores new messages under their seqs, and advances the heads and the latest messages of their chats.
    /// Returns the message ids in the order of `rows`. Postgres does all in one statement, because each further
    /// round trip extends the time for which the chats are locked.
    pub async fn append(
        &mut self,
        rows: &[(Seq, NewMessage)],
        heads: &Heads,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, Error> {
        const POSTGRES: &str = concat!(
            "WITH sent AS (INSERT INTO message (chat_id, customer_id, content, sent_at, seq, \
                sent_seq, reply_to, client_message_id) \
            SELECT chat, author, content, $1, seq, seq, reply_to, client_message_id \
            FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) \
                WITH ORDINALITY AS r (chat, author, content, seq, reply_to, client_message_id, n) \
            ORDER BY n RETURNING message_id, chat_id), \
            moved AS (UPDATE chat AS c SET ",
            moved!("h.seq", "h.last"),
            " FROM (SELECT k.id, k.seq, max(sent.message_id) AS last \
                FROM unnest($8::bigint[], $9::bigint[]) AS k (id, seq) \
                LEFT JOIN sent ON sent.chat_id = k.id GROUP BY k.id, k.seq) AS h \
            WHERE c.chat_id = h.id) \
            SELECT message_id FROM sent ORDER BY message_id"
        );
        let moved = heads.moved();
        match &mut self.0 {
            DatabaseTransaction::Postgres(tx) => {
                let ids = query_scalar(POSTGRES)
                    .bind(now.get())
                    .bind(column(rows, |(_, new)| new.chat.0))
                    .bind(column(rows, |(_, new)| new.author.0))
                    .bind(column(rows, |(_, new)| new.content.as_str()))
                    .bind(column(rows, |(seq, _)| seq.0))
                    .bind(column(rows, |(_, new)| new.reply_to.map(|id| id.0)))
                    .bind(column(rows, |(_, new)| {
                        new.client_message_id.as_ref().map(ClientMessageId::as_str)
                    }))
                    .bind(column(&moved, |h| h.chat_id.0))
                    .bind(column(&moved, |h| h.seq.0))
                    .fetch_all(&mut **tx)
                    .await?;
                Ok(ids)
            }
            DatabaseTransaction::Sqlite(tx) => {
                let ids = insert(tx, rows, now).await?;
                let chats = rows.iter().map(|(_, new)| new.chat);
                let last: HashMap<ChatId, MessageId> = chats.zip(ids.iter().copied()).collect();
                advance_with(tx, &moved, &last).await?;
                Ok(ids)
            }
        }
    }

    /// Stores the new text, seq and times of messages that were edited or deleted.
    pub async fn update(&mut self, messages: &[Message]) -> Result<(), Error> {
        const POSTGRES: &str = "UPDATE message AS m SET content = r.content, seq = r.seq, \
                edited_at = r.edited_at, deleted_at = r.deleted_at, deleted_by = r.deleted_by \
            FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], \
                $5::timestamptz[], $6::bigint[], $7::bigint[]) \
                AS r (id, content, seq, edited_at, deleted_at, deleted_by, chat) \
            WHERE m.message_id = r.id AND m.chat_id = r.chat";
        const SQLITE: &str = "UPDATE message SET content = r.value ->> 1, seq = r.value ->> 2, \
                edited_at = r.value ->> 3, deleted_at = r.value ->> 4, deleted_by = r.value ->> 5 \
            FROM json_each($1) AS r \
            WHERE message_id = r.value ->> 0 AND chat_id = r.value ->> 6";
        match &mut self.0 {
            DatabaseTransaction::Postgres(tx) => {
                query(POSTGRES)
                    .bind(column(messages, |m| m.message_id.0))
                    .bind(column(messages, |m| m.content.as_deref()))
                    .bind(column(messages, |m| m.seq.0))
                    .bind(column(messages, |m| m.edited_at.map(Timestamp::get)))
                    .bind(column(messages, |m| m.deleted_at.map(Timestamp::get)))
                    .bind(column(messages, |m| m.deleted_by.map(|user| user.0)))
                    .bind(column(messages, |m| m.chat_id.0))
                    .execute(&mut **tx)
                    .await?;
            }
            DatabaseTransaction::Sqlite(tx) => {
                let rows = json(messages, |m| {
                    let edited = m.edited_at.map(Timestamp::to_column_text);
                    let deleted = m.deleted_at.map(Timestamp::to_column_text);
                    let by = m.deleted_by.map(|user| user.0);
                    (
                        m.message_id.0,
                        m.content.as_deref(),
                        m.seq.0,
                        edited,
                        deleted,
                        by,
                        m.chat_id.0,
                    )
                });
                query(SQLITE).bind(rows).execute(&mut **tx).await?;
            }
        }
        Ok(())
    }

    /// Stores the heads that have moved.
    pub async fn advance(&mut self, heads: &Heads) -> Result<(), Error> {
        Ok(advance(&mut self.0, heads).await?)
    }

    /// Commits the transaction. After an error the commit may be in doubt: the changes may or may not be
    /// stored.
    pub async fn commit(self) -> Result<(), Error> {
        self.0.commit().await
    }
}

/// Stores messages on SQLite and returns their ids in the order of `rows`.
async fn insert(
    tx: &mut sqlx::SqliteConnection,
    rows: &[(Seq, NewMessage)],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    const SQLITE: &str = "INSERT INTO message (chat_id, customer_id, content, sent_at, seq, \
            sent_seq, reply_to, client_message_id) \
        SELECT value ->> 0, value ->> 1, value ->> 2, $1, value ->> 3, value ->> 3, value ->> 4, \
            value ->> 5 \
        FROM json_each($2) ORDER BY key RETURNING message_id";
    let rows = json(rows, |(seq, new)| {
        (
            new.chat.0,
            new.author.0,
            new.content.as_str(),
            seq.0,
            new.reply_to.map(|id| id.0),
            new.client_message_id.as_ref().map(ClientMessageId::as_str),
        )
    });
    let query = query_scalar(SQLITE).bind(now.get()).bind(rows);
    query.fetch_all(tx).await
}

/// Sets the heads of the chats on SQLite, and the latest messages of the chats that `last` names.
async fn advance_with(
    tx: &mut sqlx::SqliteConnection,
    heads: &[Head],
    last: &HashMap<ChatId, MessageId>,
) -> Result<()> {
    const SQLITE: &str = concat!(
        "UPDATE chat AS c SET ",
        moved!("r.value ->> 1", "r.value ->> 2"),
        " FROM json_each($1) AS r WHERE c.chat_id = r.value ->> 0"
    );
    let heads = json(heads, |head| {
        let last = last.get(&head.chat_id).map(|id| id.0);
        (head.chat_id.0, head.seq.0, last)
    });
    query(SQLITE).bind(heads).execute(tx).await.map(drop)
}

/// Stores the heads that have moved. The latest messages of their chats stay.
pub(super) async fn advance(tx: &mut DatabaseTransaction, heads: &Heads) -> Result<()> {
    const POSTGRES: &str = concat!(
        "UPDATE chat AS c SET ",
        moved!("r.seq", "NULL"),
        " FROM unnest($1::bigint[], $2::bigint[]) AS r (id, seq) WHERE c.chat_id = r.id"
    );
    const SQLITE: &str = concat!(
        "UPDATE chat AS c SET ",
        moved!("r.value ->> 1", "NULL"),
        " FROM json_each($1) AS r WHERE c.chat_id = r.value ->> 0"
    );
    let moved = heads.moved();
    if moved.is_empty() {
        return Ok(());
    }
    let moved = rows(&moved, |head| [head.chat_id.0, head.seq.0]);
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_with(sql, moved)
        .execute(db)
        .await
        .map(drop))
}
