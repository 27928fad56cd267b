//! Reads memberships, the chat list of a user and the membership status for connects. Adds members in
//! batches.

use super::{
    change::{self, ChangedMember},
    chat::chat_exists,
    last_message::last_message,
    list::{column, json, rows},
    lock, message_log,
    read_position::read_position,
    row::from_row,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        Chat, ChatId, ChatMember, Epoch, Member, MemberChange, MessageId, Role, Seq, Timestamp,
        UserId,
    },
};
use sqlx::{Result, query_as, query_as_with};

/// Maximum number of attempts of `join`. An attempt fails if a user or chat in the batch is deleted at the
/// time of the insert.
const JOIN_ATTEMPTS: u32 = 3;

/// Membership status: the facts that decide if a user may connect to a chat.
#[derive(Clone, Debug)]
pub struct MembershipStatus {
    /// Stored name of the user; null if the user does not exist.
    pub username: Option<String>,
    /// Head of the chat; null if the chat does not exist.
    pub head: Option<Seq>,
    /// Role of the user; null if the user is not a member of the chat.
    pub role: Option<String>,
    /// Epoch of the log that `head` belongs to; null if the database has no epoch row.
    pub epoch: Option<Epoch>,
}

from_row!(MembershipStatus {
    username,
    head,
    role,
    epoch
});

/// An entry in the chat list of a user.
#[derive(Clone, Debug)]
pub struct ListedChat {
    /// The chat.
    pub chat: Chat,
    /// Role of the user in the chat.
    pub role: Role,
    /// Latest message of the chat; 0 if the chat has no message.
    pub last_message_id: MessageId,
    /// Latest message of the chat up to `as_of`, which is the sort key of the list; 0 if there is none.
    pub placed_by: MessageId,
    /// Newest message of all chats when the first page of the list was read; 0 if there was none.
    pub as_of: MessageId,
    /// Read position of the user; null if the user has neither marked nor sent a message.
    pub last_read_message_id: Option<MessageId>,
    /// Number of unread messages, at most 1,000: messages by other users after the read position and after
    /// the user joined. Deleted messages do not count.
    pub unread: i64,
}

from_row!(
    ListedChat {
        role,
        last_message_id,
        placed_by,
        as_of,
        last_read_message_id,
        unread
    }[chat]
);

/// Pagination cursor in the chat list of a user, which is sorted by latest message, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatPosition {
    /// Id of the chat.
    pub chat: ChatId,
    /// Latest message of the chat up to `as_of`; 0 if there is none.
    pub last_message: MessageId,
    /// Newest message of all chats when the first page of the list was read; 0 if there was none.
    pub as_of: MessageId,
}

from_row!(ChatPosition {
    chat,
    last_message,
    as_of
});

impl ListedChat {
    /// Returns the cursor of this entry.
    #[must_use]
    pub fn position(&self) -> ChatPosition {
        ChatPosition {
            chat: self.chat.chat_id,
            last_message: self.placed_by,
            as_of: self.as_of,
        }
    }
}

/// Builds the message of a row of `positions` after which messages are unread.
macro_rules! read_to {
    () => {
        "CASE WHEN coalesce(position, 0) > coalesce(joined_message_id, 0) \
            THEN position ELSE coalesce(joined_message_id, 0) END"
    };
}

/// Builds the query for a page of a user's chats. `$chat` joins the chat `c` of the membership `m`. `$unread` selects the messages `x` after `read_to` of a row of
/// `positions`.
macro_rules! chats_of {
    ($chat:literal, $($unread:expr),+) => {
        concat!(
            "WITH list AS (SELECT CASE WHEN $2 > 0 THEN $4 \
                ELSE coalesce((SELECT max(message_id) FROM message), 0) END AS as_of), \
            mine AS (SELECT c.chat_id, c.chat_name, c.created_at, c.topic, c.data, m.customer_id, m.role, \
                    m.last_read_message_id, m.joined_message_id, list.as_of, ",
            last_message!("c"),
            " AS last_message_id \
                FROM customer_chat m ",
            $chat,
            " CROSS JOIN list \
                WHERE m.customer_id = $1 AND c.deleted_at IS NULL), \
            placed AS (SELECT mine.*, CASE WHEN last_message_id <= as_of THEN last_message_id \
                    ELSE coalesce((SELECT x.message_id FROM message x WHERE x.chat_id >= mine.chat_id \
                        AND (x.chat_id, x.message_id) <= (mine.chat_id, mine.as_of) \
                        ORDER BY x.chat_id DESC, x.message_id DESC LIMIT 1), 0) \
                    END AS placed_by \
                FROM mine), \
            page AS (SELECT * FROM placed WHERE $2 = 0 OR (placed_by, chat_id) < ($3, $2) \
                ORDER BY placed_by DESC, chat_id DESC LIMIT $5), \
            positions AS (SELECT m.*, ",
            read_position!(),
            " AS position FROM page m) \
            SELECT chat_id, chat_name, created_at, topic, data, role, last_message_id, placed_by, as_of, \
                position AS last_read_message_id, (SELECT count(*) FROM (SELECT 1 FROM message x \
                WHERE ",
            $($unread,)+
            " AND x.deleted_at IS NULL ORDER BY x.chat_id, x.message_id LIMIT 1000) AS unread) AS unread \
            FROM positions ORDER BY placed_by DESC, chat_id DESC"
        )
    };
}

/// Reads and adds memberships.
#[derive(Clone, Copy)]
pub struct MemberRepository<'a>(pub(super) &'a Database);

impl MemberRepository<'_> {
    /// Returns up to `limit` members of a chat with user ids above `after`, in order of user id.
    pub async fn list(
        self,
        chat: ChatId,
        after: UserId,
        limit: i64,
    ) -> Result<Vec<ChatMember>, Error> {
        const SQL: &str = concat!(
            "SELECT u.customer_id, u.username, u.created_at, m.role, m.joined_at \
             FROM customer_chat m JOIN customer u ON u.customer_id = m.customer_id \
             WHERE m.chat_id <= $1 AND (m.chat_id, m.customer_id) > ($1, $2) AND ",
            chat_exists!("$1"),
            " ORDER BY m.chat_id, m.customer_id LIMIT $3"
        );
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(chat)
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await)?)
    }

    /// Returns up to `limit` chats of a user after the cursor `after`, sorted by latest message, newest
    /// first. A null cursor starts at the first page. Messages newer than `as_of` do not affect the order, so
    /// that a message sent between two pages does not move a chat to another page. All chats of the user are read to
    /// sort them; messages are read for the chats of the page alone. The user's own messages need no condition in the
    /// unread count, because the read position is never before them.
    pub async fn chats_of(
        self,
        user: UserId,
        after: Option<ChatPosition>,
        limit: i64,
    ) -> Result<Vec<ListedChat>, Error> {
        // One lookup for each membership: Postgres would read all chats for a user in many.
        const POSTGRES: &str = chats_of!(
            "CROSS JOIN LATERAL (SELECT * FROM chat WHERE chat_id = m.chat_id LIMIT 1) AS c",
            "x.chat_id <= positions.chat_id AND (x.chat_id, x.message_id) > (positions.chat_id, ",
            read_to!(),
            ")"
        );
        const SQLITE: &str = chats_of!(
            "JOIN chat c ON c.chat_id = m.chat_id",
            "x.chat_id = positions.chat_id AND x.message_id > ",
            read_to!()
        );
        let (chat, last_message, as_of) = match after {
            None => (0, 0, 0),
            Some(after) => (after.chat.0, after.last_message.0, after.as_of.0),
        };
        let page = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as(sql)
            .bind(user)
            .bind(chat)
            .bind(last_message)
            .bind(as_of)
            .bind(limit)
            .fetch_all(db)
            .await)?;
        Ok(page)
    }

    /// Returns the current cursor of a chat in the chat list of a user; null if the list does not contain the
    /// chat.
    pub async fn position_of(
        self,
        user: UserId,
        chat: ChatId,
    ) -> Result<Option<ChatPosition>, Error> {
        const SQL: &str = concat!(
            "SELECT m.chat_id AS chat, ",
            last_message!("c"),
            " AS last_message, coalesce((SELECT max(message_id) FROM message), 0) AS as_of \
            FROM customer_chat m JOIN chat c ON c.chat_id = m.chat_id \
            WHERE m.customer_id = $1 AND m.chat_id = $2 AND c.deleted_at IS NULL"
        );
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the membership; null if the user is not a member of the chat.
    pub async fn find(self, user: UserId, chat: ChatId) -> Result<Option<Member>, Error> {
        const SQL: &str = concat!(
            "SELECT customer_id, chat_id, role, joined_at FROM customer_chat \
             WHERE customer_id = $1 AND chat_id = $2 AND ",
            chat_exists!("$2")
        );
        Ok(on!(read self.0, |db| query_as(SQL)
            .bind(user)
            .bind(chat)
            .fetch_optional(db)
            .await)?)
    }

    /// Returns the membership status of each pair, in the order of `pairs`. One query serves a batch of
    /// connects: it tells if each user may connect, under which name and from which head.
    pub async fn memberships(
        self,
        pairs: &[(UserId, ChatId)],
    ) -> Result<Vec<MembershipStatus>, Error> {
        const POSTGRES: &str = "SELECT \
            (SELECT username FROM customer WHERE customer_id = k.u) AS username, \
            (SELECT seq FROM chat WHERE chat_id = k.c AND deleted_at IS NULL) AS head, \
            (SELECT role FROM customer_chat WHERE customer_id = k.u AND chat_id = k.c) AS role, \
            (SELECT epoch FROM log_epoch) AS epoch \
            FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS k (u, c, n) ORDER BY k.n";
        const SQLITE: &str = "SELECT \
            (SELECT username FROM customer WHERE customer_id = k.value ->> 0) AS username, \
            (SELECT seq FROM chat WHERE chat_id = k.value ->> 1 AND deleted_at IS NULL) AS head, \
            (SELECT role FROM customer_chat WHERE customer_id = k.value ->> 0 \
                AND chat_id = k.value ->> 1) AS role, \
            (SELECT epoch FROM log_epoch) AS epoch \
            FROM json_each($1) AS k ORDER BY k.key";
        let pairs = rows(pairs, |(user, chat)| [user.0, chat.0]);
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, pairs)
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Returns the pairs that are not a membership although both the user and the chat exist. Pairs with a
    /// deleted user or chat are left out, because the deletion is reported separately. One statement reads all
    /// tables, so that a concurrent deletion is not mistaken for the end of a membership.
    pub async fn non_members(
        self,
        pairs: &[(UserId, ChatId)],
    ) -> Result<Vec<(UserId, ChatId)>, Error> {
        const POSTGRES: &str = "SELECT k.u, k.c FROM unnest($1::bigint[], $2::bigint[]) AS k (u, c) \
            JOIN customer u ON u.customer_id = k.u \
            JOIN chat c ON c.chat_id = k.c AND c.deleted_at IS NULL \
            WHERE NOT EXISTS (SELECT FROM customer_chat m \
                WHERE m.customer_id = k.u AND m.chat_id = k.c)";
        const SQLITE: &str = "SELECT k.value ->> 0, k.value ->> 1 FROM json_each($1) AS k \
            JOIN customer u ON u.customer_id = k.value ->> 0 \
            JOIN chat c ON c.chat_id = k.value ->> 1 AND c.deleted_at IS NULL \
            WHERE NOT EXISTS (SELECT 1 FROM customer_chat m \
                WHERE m.customer_id = k.value ->> 0 AND m.chat_id = k.value ->> 1)";
        let pairs = rows(pairs, |(user, chat)| [user.0, chat.0]);
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, pairs)
            .fetch_all(db)
            .await)?;
        Ok(found)
    }

    /// Makes users members of chats with the role participant, and gives each new membership its number. Returns the
    /// new memberships, in order of chat and number. Skips existing memberships and pairs with a missing user or chat.
    pub async fn join(self, pairs: &[(UserId, ChatId)]) -> Result<Vec<MemberChange>, Error> {
        let mut attempts = JOIN_ATTEMPTS;
        loop {
            attempts -= 1;
            let mut tx = self.0.begin().await?;
            // The changes of all other chats wait for this one.
            lock::set_short_lock_timeout(&mut tx).await?;
            match join(&mut tx, pairs, Timestamp::now()).await {
                // A user was deleted during the insert. The next attempt sees the deletion and skips the pair.
                Err(sqlx::Error::Database(e)) if attempts > 0 && e.is_foreign_key_violation() => {}
                joined => {
                    let joined = joined?;
                    tx.commit().await?;
                    return Ok(joined);
                }
            }
        }
    }
}

/// A membership that was just added.
struct Added {
    customer_id: UserId,
    chat_id: ChatId,
}

from_row!(Added {
    customer_id,
    chat_id
});

/// Makes users participants of chats. Skips existing memberships and pairs with a missing user or chat.
async fn join(
    tx: &mut DatabaseTransaction,
    pairs: &[(UserId, ChatId)],
    now: Timestamp,
) -> Result<Vec<MemberChange>> {
    let mut pairs: Vec<(ChatId, UserId)> =
        pairs.iter().map(|(user, chat)| (*chat, *user)).collect();
    // All transactions lock these rows in sorted order, so that they cannot deadlock.
    pairs.sort_unstable();
    let mut chats: Vec<ChatId> = pairs.iter().map(|(chat, _)| *chat).collect();
    chats.dedup();
    let mut heads = lock::lock_chats(tx, &chats).await?;
    let added = insert(tx, &pairs, now).await?.into_iter();
    let changed = |added: Added| ChangedMember {
        chat: added.chat_id,
        user: added.customer_id,
        by: Some(added.customer_id),
    };
    let mut changed: Vec<ChangedMember> = added.map(changed).collect();
    changed.sort_unstable();
    let joined = change::number_members(tx, &mut heads, &changed, now).await?;
    message_log::advance(tx, &heads).await?;
    Ok(joined)
}

/// Stores the memberships of `pairs` that are none yet, and returns them.
async fn insert(
    tx: &mut DatabaseTransaction,
    pairs: &[(ChatId, UserId)],
    now: Timestamp,
) -> Result<Vec<Added>> {
    const POSTGRES: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, nullif(",
        last_message!("c"),
        ", 0) FROM unnest($3::bigint[], $4::bigint[]) AS k (u, c) \
        JOIN customer u ON u.customer_id = k.u \
        JOIN chat c ON c.chat_id = k.c AND c.deleted_at IS NULL \
        ON CONFLICT (customer_id, chat_id) DO NOTHING RETURNING customer_id, chat_id"
    );
    // SQLite parses ON CONFLICT after a join as the ON clause of the join. `WHERE TRUE` prevents this.
    const SQLITE: &str = concat!(
        "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at, joined_message_id) \
        SELECT u.customer_id, c.chat_id, $1, $2, nullif(",
        last_message!("c"),
        ", 0) FROM json_each($3) AS k \
        JOIN customer u ON u.customer_id = k.value ->> 0 \
        JOIN chat c ON c.chat_id = k.value ->> 1 AND c.deleted_at IS NULL WHERE TRUE \
        ON CONFLICT (customer_id, chat_id) DO NOTHING RETURNING customer_id, chat_id"
    );
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query_as(POSTGRES)
                .bind(Role::Participant.as_str())
                .bind(now);
            let query = query.bind(column(pairs, |(_, user)| user.0));
            let query = query.bind(column(pairs, |(chat, _)| chat.0));
            query.fetch_all(&mut **tx).await
        }
        DatabaseTransaction::Sqlite(tx) => {
            let query = query_as(SQLITE).bind(Role::Participant.as_str()).bind(now);
            let query = query.bind(json(pairs, |(chat, user)| (user.0, chat.0)));
            query.fetch_all(&mut **tx).await
        }
    }
}
