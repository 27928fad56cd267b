//! Reads the log of a chat: its messages, its memberships and the chat itself, by the number of their latest change.
//! Also stores the changes of memberships.

use super::{
    chat::chat_exists,
    heads::Heads,
    list::{column, json, rows},
    message::select_messages,
    page::{PageLimit, TextPage},
    row::from_row,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{
        Chat, ChatChange, ChatId, LogEntry, MemberChange, MemberState, Message, Seq, Timestamp,
        UserId,
    },
};
use sqlx::{
    FromRow, Result, Row, postgres::PgRow, query, query_as, query_as_with, query_scalar,
    sqlite::SqliteRow,
};

/// The kind of a row: a message.
const MESSAGE: i32 = 1;
/// The kind of a row: a membership.
const MEMBER: i32 = 2;

/// The log of chat `$1` after the change `$2`, at most `$3` rows. The columns are those of a message. A membership and
/// a chat have their values in columns of the right type: a wider row would cost each message. In a subquery
/// Postgres takes a NULL without a type for text. The subqueries of a membership are lookups by key, for any
/// number of rows that Postgres expects.
const SINCE: &str = concat!(
    "SELECT * FROM (",
    select_messages!(
        KIND "1 AS kind",
        "WHERE m.chat_id <= $1 AND (m.chat_id, m.seq) > ($1, $2) AND ",
        chat_exists!("$1"),
        " ORDER BY m.chat_id, m.seq LIMIT $3"
    ),
    ") AS messages UNION ALL SELECT * FROM (SELECT 2 AS kind, x.customer_id AS message_id, x.chat_id, \
        x.changed_by AS customer_id, \
        (SELECT username FROM customer WHERE customer_id = x.customer_id) AS username, \
        (SELECT role FROM customer_chat WHERE customer_id = x.customer_id AND chat_id = x.chat_id) AS content, \
        x.seq, x.changed_at AS sent_at, \
        (SELECT joined_at FROM customer_chat WHERE customer_id = x.customer_id AND chat_id = x.chat_id) \
            AS edited_at, \
        CAST(NULL AS timestamptz) AS deleted_at, CAST(NULL AS bigint) AS reply_to, \
        CAST(NULL AS text) AS client_message_id, 0 AS sent_seq, CAST(NULL AS bigint) AS deleted_by \
     FROM membership_change x WHERE x.chat_id <= $1 AND (x.chat_id, x.seq) > ($1, $2) AND ",
    chat_exists!("$1"),
    " ORDER BY x.chat_id, x.seq LIMIT $3) AS members \
     UNION ALL SELECT 3 AS kind, c.chat_id AS message_id, c.chat_id, c.changed_by AS customer_id, \
        c.chat_name AS username, c.topic AS content, c.changed_seq AS seq, c.created_at AS sent_at, \
        NULL AS edited_at, NULL AS deleted_at, NULL AS reply_to, c.data AS client_message_id, 0 AS sent_seq, \
        NULL AS deleted_by \
     FROM chat c WHERE c.chat_id = $1 AND c.changed_seq > $2 AND c.deleted_at IS NULL \
     ORDER BY chat_id, seq LIMIT $3"
);

/// Implements the reading of a row of `SINCE` from one database.
macro_rules! log_entry {
    ($row:ty) => {
        impl FromRow<'_, $row> for LogEntry {
            fn from_row(row: &$row) -> Result<Self> {
                let chat_id: ChatId = row.try_get("chat_id")?;
                let seq: Seq = row.try_get("seq")?;
                Ok(match row.try_get::<i32, _>("kind")? {
                    MESSAGE => Self::Message(Box::new(Message::from_row(row)?)),
                    MEMBER => Self::Member(MemberChange {
                        chat_id,
                        seq,
                        changed_by: row.try_get("customer_id")?,
                        member: MemberState {
                            customer_id: row.try_get("message_id")?,
                            username: row.try_get("username")?,
                            role: row.try_get("content")?,
                            joined_at: row.try_get("edited_at")?,
                        },
                    }),
                    _ => Self::Chat(ChatChange {
                        seq,
                        changed_by: row.try_get("customer_id")?,
                        chat: Chat {
                            chat_id,
                            chat_name: row.try_get("username")?,
                            created_at: row.try_get("sent_at")?,
                            topic: row.try_get("content")?,
                            data: row.try_get("client_message_id")?,
                        },
                    }),
                })
            }
        }
    };
}

log_entry!(PgRow);
log_entry!(SqliteRow);

from_row!(MemberState {
    customer_id,
    username,
    role,
    joined_at
});

/// Reads the log of a chat.
#[derive(Clone, Copy)]
pub struct ChangeRepository<'a>(pub(super) &'a Database);

impl ChangeRepository<'_> {
    /// Returns the things of the chat that changed after `since`, in order of the number of their latest change.
    pub async fn since(
        self,
        chat: ChatId,
        since: Seq,
        most: PageLimit,
    ) -> Result<TextPage<LogEntry>, Error> {
        Ok(on!(read self.0, |db| {
            let query = query_as(SINCE).bind(chat).bind(since).bind(most.rows);
            TextPage::read(query.fetch(db), most.bytes, LogEntry::size).await
        })?)
    }

    /// Returns the number of things of the chat that changed after `since`. Counting stops soon after `most`.
    pub async fn count_since(self, chat: ChatId, since: Seq, most: i64) -> Result<i64, Error> {
        const SQL: &str = "SELECT count(*) FROM ( \
            SELECT * FROM (SELECT chat_id FROM message WHERE chat_id <= $1 AND (chat_id, seq) > ($1, $2) \
                ORDER BY chat_id, seq LIMIT $3) AS messages \
            UNION ALL SELECT * FROM (SELECT chat_id FROM membership_change \
                WHERE chat_id <= $1 AND (chat_id, seq) > ($1, $2) ORDER BY chat_id, seq LIMIT $3) AS members \
            UNION ALL SELECT chat_id FROM chat WHERE chat_id = $1 AND changed_seq > $2) AS changed";
        Ok(on!(read self.0, |db| query_scalar(SQL)
            .bind(chat)
            .bind(since)
            .bind(most)
            .fetch_one(db)
            .await)?)
    }
}

/// A membership that was added, changed or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangedMember {
    pub(super) chat: ChatId,
    pub(super) user: UserId,
    /// The user who made the change; None for a change by the server or by an unnamed caller.
    pub(super) by: Option<UserId>,
}

/// Gives each changed membership the next number of its chat, and stores the numbers. Returns the memberships in their
/// present state, in the order of `changed`. A membership of a chat without a head gets no number. The caller has locked
/// the chats, and stores the moved heads.
pub(super) async fn number_members(
    tx: &mut DatabaseTransaction,
    heads: &mut Heads,
    changed: &[ChangedMember],
    now: Timestamp,
) -> Result<Vec<MemberChange>> {
    let number = |changed: &ChangedMember| Some((*changed, heads.next(changed.chat)?));
    let numbered: Vec<(ChangedMember, Seq)> = changed.iter().filter_map(number).collect();
    if numbered.is_empty() {
        return Ok(Vec::new());
    }
    store_numbers(tx, &numbered, now).await?;
    let states = member_states(tx, &numbered).await?;
    let change = |((changed, seq), member): ((ChangedMember, Seq), MemberState)| MemberChange {
        chat_id: changed.chat,
        seq,
        changed_by: changed.by,
        member,
    };
    Ok(numbered.into_iter().zip(states).map(change).collect())
}

/// Stores the numbers of changed memberships.
async fn store_numbers(
    tx: &mut DatabaseTransaction,
    numbered: &[(ChangedMember, Seq)],
    now: Timestamp,
) -> Result<()> {
    /// What a repeated change of a membership replaces.
    macro_rules! replaced {
        () => {
            " ON CONFLICT (chat_id, customer_id) DO UPDATE SET seq = excluded.seq, \
              changed_by = excluded.changed_by, changed_at = excluded.changed_at"
        };
    }
    const POSTGRES: &str = concat!(
        "INSERT INTO membership_change (chat_id, customer_id, seq, changed_by, changed_at) \
         SELECT r.chat, r.id, r.seq, r.changed_by, $1 \
         FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS r (chat, id, seq, changed_by)",
        replaced!()
    );
    const SQLITE: &str = concat!(
        "INSERT INTO membership_change (chat_id, customer_id, seq, changed_by, changed_at) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, $1 FROM json_each($2) WHERE TRUE",
        replaced!()
    );
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(now);
            let query = query.bind(column(numbered, |(c, _)| c.chat.0));
            let query = query.bind(column(numbered, |(c, _)| c.user.0));
            let query = query.bind(column(numbered, |(_, seq)| seq.0));
            let query = query.bind(column(numbered, |(c, _)| c.by.map(|by| by.0)));
            query.execute(&mut **tx).await.map(drop)
        }
        DatabaseTransaction::Sqlite(tx) => {
            let rows = json(numbered, |(c, seq)| {
                (c.chat.0, c.user.0, seq.0, c.by.map(|by| by.0))
            });
            let query = query(SQLITE).bind(now).bind(rows);
            query.execute(&mut **tx).await.map(drop)
        }
    }
}

/// Returns the present states of numbered memberships, in their order.
async fn member_states(
    tx: &mut DatabaseTransaction,
    numbered: &[(ChangedMember, Seq)],
) -> Result<Vec<MemberState>> {
    const POSTGRES: &str = "SELECT k.u AS customer_id, \
        (SELECT username FROM customer WHERE customer_id = k.u) AS username, \
        (SELECT role FROM customer_chat WHERE customer_id = k.u AND chat_id = k.c) AS role, \
        (SELECT joined_at FROM customer_chat WHERE customer_id = k.u AND chat_id = k.c) AS joined_at \
        FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS k (u, c, n) ORDER BY k.n";
    const SQLITE: &str = "SELECT k.value ->> 0 AS customer_id, \
        (SELECT username FROM customer WHERE customer_id = k.value ->> 0) AS username, \
        (SELECT role FROM customer_chat WHERE customer_id = k.value ->> 0 \
            AND chat_id = k.value ->> 1) AS role, \
        (SELECT joined_at FROM customer_chat WHERE customer_id = k.value ->> 0 \
            AND chat_id = k.value ->> 1) AS joined_at \
        FROM json_each($1) AS k ORDER BY k.key";
    let pairs = rows(numbered, |(changed, _)| [changed.user.0, changed.chat.0]);
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, pairs)
        .fetch_all(db)
        .await)
}
