//! Memberships.

use super::{
    chat::chat_exists,
    dialect::{self, column, json},
    read_position::{latest_message, read_position},
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        Chat, ChatId, ChatMember, Epoch, Member, MessageId, Role, Seq, Timestamp, User, UserId,
    },
};
use sqlx::{Result, query, query_as, query_scalar};

/// How often newcomers are let in together before one of them who goes at that moment is a fault.
const JOIN_ATTEMPTS: u32 = 3;

/// How a user stands to a chat.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct MembershipStatus {
    /// The user's stored name; none where there is no such user.
    pub username: Option<String>,
    /// The chat's latest change; none where there is no such chat.
    pub head: Option<Seq>,
    /// The user's role; none where they do not belong to the chat.
    pub role: Option<String>,
    /// The epoch of the log that the head counts in.
    pub epoch: Option<Epoch>,
}

/// A row of a user's list of chats.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ListedChat {
    /// The chat.
    #[sqlx(flatten)]
    pub chat: Chat,
    /// As what the user belongs to it.
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// The message sent last; 0 where there is none.
    pub last_message_id: MessageId,
    /// The message sent last of those up to `as_of`: the chat's place in the list. 0 where there is none.
    pub placed_by: MessageId,
    /// The newest message of all chats when the first page of the list was read.
    pub as_of: MessageId,
    /// The message read last.
    pub last_read_message_id: Option<MessageId>,
    /// Messages of others after the one read last, and after the user joined, counted up to 1,000.
    pub unread: i64,
}

/// A place in a user's list of chats, the latest active first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ChatPosition {
    /// The chat.
    pub chat: ChatId,
    /// Its last message up to `as_of`; 0 where there is none.
    pub last_message: MessageId,
    /// The newest message of all chats when the first page of the list was read.
    pub as_of: MessageId,
}

impl ListedChat {
    /// The chat's place in the list.
    #[must_use]
    pub fn position(&self) -> ChatPosition {
        ChatPosition {
            chat: self.chat.chat_id,
            last_message: self.placed_by,
            as_of: self.as_of,
        }
    }
}

/// Reads and writes who belongs to which chat.
#[derive(Clone)]
pub struct MemberRepository(Database);

impl MemberRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Database) -> Self {
        Self(store)
    }

    /// Up to `limit` members of a chat with user ids over `after`, by user id.
    pub async fn list(
        &self,
        chat: ChatId,
        after: UserId,
        limit: i64,
    ) -> Result<Vec<ChatMember>, Error> {
        const SQL: &str = concat!(
            "SELECT u.customer_id, u.username, u.created_at, m.role, m.joined_at \
             FROM customer_chat m JOIN customer u ON u.customer_id = m.customer_id \
             WHERE m.chat_id = $1 AND m.customer_id > $2 AND ",
            chat_exists!("$1"),
            " ORDER BY m.customer_id LIMIT $3"
        );
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(chat)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// Up to `limit` of a user's chats, the latest active first, from the position `after` on. The order
    /// is that of the message `as_of`: what is sent while pages are read moves no chat to another page.
    pub async fn chats_of(
        &self,
        user: UserId,
        after: Option<ChatPosition>,
        limit: i64,
    ) -> Result<Vec<ListedChat>, Error> {
        const SQL: &str = concat!(
            "WITH list AS (SELECT CASE WHEN $2 > 0 THEN $4 \
                ELSE coalesce((SELECT max(message_id) FROM message), 0) END AS as_of), \
            mine AS ( \
                SELECT c.chat_id, c.chat_name, c.created_at, m.role, list.as_of, ",
            read_position!(),
            " AS last_read_message_id, m.joined_message_id, \
                    coalesce((SELECT max(x.message_id) FROM message x \
                        WHERE x.chat_id = c.chat_id), 0) AS last_message_id, \
                    coalesce((SELECT max(x.message_id) FROM message x \
                        WHERE x.chat_id = c.chat_id AND x.message_id <= list.as_of), 0) AS placed_by \
                FROM customer_chat m JOIN chat c ON c.chat_id = m.chat_id CROSS JOIN list \
                WHERE m.customer_id = $1 AND c.deleted_at IS NULL) \
            SELECT mine.*, (SELECT count(*) FROM (SELECT 1 FROM message x \
                WHERE x.chat_id = mine.chat_id AND x.deleted_at IS NULL \
                    AND x.message_id > CASE \
                        WHEN coalesce(mine.last_read_message_id, 0) > coalesce(mine.joined_message_id, 0) \
                        THEN mine.last_read_message_id \
                        ELSE coalesce(mine.joined_message_id, 0) END \
                    AND (x.customer_id IS NULL OR x.customer_id <> $1) \
                LIMIT 1000) AS unread) AS unread \
            FROM mine WHERE $2 = 0 OR (mine.placed_by, mine.chat_id) < ($3, $2) \
            ORDER BY mine.placed_by DESC, mine.chat_id DESC LIMIT $5"
        );
        let (chat, last_message, as_of) = match after {
            None => (0, 0, 0),
            Some(after) => (after.chat.0, after.last_message.0, after.as_of.0),
        };
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(user)
            .bind(chat)
            .bind(last_message)
            .bind(as_of)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// The present place of a chat in a user's list. None where it is not in it.
    pub async fn position_of(
        &self,
        user: UserId,
        chat: ChatId,
    ) -> Result<Option<ChatPosition>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id AS chat, \
                coalesce((SELECT max(x.message_id) FROM message x \
                    WHERE x.chat_id = m.chat_id), 0) AS last_message, \
                coalesce((SELECT max(message_id) FROM message), 0) AS as_of \
            FROM customer_chat m WHERE m.customer_id = $1 AND m.chat_id = $2 AND ",
            chat_exists!("$2")
        );
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// The membership, where there is one.
    pub async fn find(&self, user: UserId, chat: ChatId) -> Result<Option<Member>, Error> {
        const SQL: &str = concat!(
            "SELECT customer_id, chat_id, role, joined_at FROM customer_chat \
             WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2")
        );
        Ok(on!(read & self.0, |db| query_as(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// How users stand to chats, in the order of the pairs: one read that answers whether each may
    /// connect, under which name, and from which change on.
    pub async fn standings(
        &self,
        pairs: &[(UserId, ChatId)],
    ) -> Result<Vec<MembershipStatus>, Error> {
        Ok(dialect::standings(&self.0, pairs).await?)
    }

    /// Those of the pairs that are no memberships although user and chat exist.
    pub async fn non_members(
        &self,
        pairs: &[(UserId, ChatId)],
    ) -> Result<Vec<(UserId, ChatId)>, Error> {
        Ok(dialect::non_members(&self.0, pairs).await?)
    }

    /// The number of the chat's latest change; none where there is no such chat.
    pub async fn head(&self, chat: ChatId) -> Result<Option<Seq>, Error> {
        const SQL: &str = "SELECT seq FROM chat WHERE chat_id = $1 AND deleted_at IS NULL";
        Ok(on!(read & self.0, |db| query_scalar(SQL)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Makes users members of chats, where both exist and they are not members yet.
    pub async fn join(&self, pairs: &[(UserId, ChatId)]) -> Result<(), Error> {
        let mut pairs = pairs.to_vec();
        // One order for all who lock the same rows.
        pairs.sort_unstable();
        let mut attempts = JOIN_ATTEMPTS;
        loop {
            attempts -= 1;
            let mut tx = self.0.begin().await?;
            match dialect::join(&mut tx, &pairs, Role::Participant, Timestamp::now()).await {
                // One of them went in this very moment: now it is seen to be gone.
                Err(sqlx::Error::Database(e)) if attempts > 0 && e.is_foreign_key_violation() => {}
                joined => {
                    joined?;
                    return tx.commit().await;
                }
            }
        }
    }
}

/// Makes users members of chats, where both exist and they are not members yet. The rows are locked
/// in the order of the pairs.
pub(crate) async fn join(
    tx: &mut DatabaseTransaction,
    pairs: &[(UserId, ChatId)],
    role: Role,
    now: Timestamp,
) -> Result<()> {
    const POSTGRES: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, ",
        latest_message!("c.chat_id"),
        " FROM unnest($3::bigint[], $4::bigint[]) AS k (u, c) \
        JOIN customer u ON u.customer_id = k.u \
        JOIN chat c ON c.chat_id = k.c AND c.deleted_at IS NULL \
        ON CONFLICT (customer_id, chat_id) DO NOTHING"
    );
    // A join before ON CONFLICT needs a WHERE, lest SQLite take it for the join's own ON.
    const SQLITE: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, ",
        latest_message!("c.chat_id"),
        " FROM json_each($3) AS k \
        JOIN customer u ON u.customer_id = k.value ->> 0 \
        JOIN chat c ON c.chat_id = k.value ->> 1 AND c.deleted_at IS NULL WHERE TRUE \
        ON CONFLICT (customer_id, chat_id) DO NOTHING"
    );
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(role.as_str()).bind(now);
            let query = query.bind(column(pairs, |(user, _)| user.0));
            let query = query.bind(column(pairs, |(_, chat)| chat.0));
            query.execute(&mut **tx).await.map(drop)
        }
        DatabaseTransaction::Sqlite(tx) => {
            let query = query(SQLITE).bind(role.as_str()).bind(now);
            let query = query.bind(json(pairs, |(user, chat)| (user.0, chat.0)));
            query.execute(&mut **tx).await.map(drop)
        }
    }
}

/// The users of those ids, in any order; those that do not exist are left out.
pub(crate) async fn users(store: &Database, ids: &[UserId]) -> Result<Vec<User>> {
    const POSTGRES: &str = "SELECT customer_id, username, created_at FROM customer \
        WHERE customer_id = ANY($1)";
    const SQLITE: &str = "SELECT customer_id, username, created_at FROM customer \
        WHERE customer_id IN (SELECT value FROM json_each($1))";
    match store {
        Database::Postgres(pool) => {
            let query = query_as(POSTGRES).bind(column(ids, |id| id.0));
            query.fetch_all(pool).await
        }
        Database::Sqlite(embedded) => {
            let query = query_as(SQLITE).bind(json(ids, |id| id.0));
            query.fetch_all(embedded.readers()).await
        }
    }
}
