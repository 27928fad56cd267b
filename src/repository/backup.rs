//! Export and import of a whole database, row by row. An export (`Snapshot`) reads one consistent snapshot;
//! an import (`Restore`) writes one transaction.

use super::{
    backup_row::{
        ChatRecord, Kind, MemberChangeRecord, MemberRecord, MessageRecord, Record, SessionRecord,
        UserRecord,
    },
    chat::chat_exists,
    epoch, last_message, lock,
    row::from_row,
    search_tokens,
};
use crate::{
    database::{Database, DatabaseTransaction, LARGEST, flaws_of_rows, on},
    error::Error,
    model::Seq,
};
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Result, query, query_as, query_scalar};
use std::fmt;

/// Number of rows of each kind. Deleted chats and their rows do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Number of users.
    pub users: i64,
    /// Number of chats.
    pub chats: i64,
    /// Number of memberships.
    pub members: i64,
    /// Number of memberships that have changed since their chat was made, ended ones included. 0 in the first version
    /// of the format.
    #[serde(default, rename = "memberChanges")]
    pub member_changes: i64,
    /// Number of messages, tombstones included.
    pub messages: i64,
    /// Number of sessions.
    pub sessions: i64,
}

from_row!(Counts {
    users,
    chats,
    members,
    member_changes,
    messages,
    sessions
});

/// Last assigned id of each kind of row; 0 if no id was assigned. The row may be deleted: an export keeps the
/// last ids because an id is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastIds {
    /// Last assigned user id.
    pub user: i64,
    /// Last assigned chat id.
    pub chat: i64,
    /// Last assigned message id.
    pub message: i64,
    /// Last assigned session id.
    pub session: i64,
}

impl LastIds {
    /// Raises the last id of the row's kind to the id of this row. A membership has no id of its own and
    /// changes nothing.
    pub fn note(&mut self, record: &Record) {
        let last = match record.kind() {
            Kind::User => &mut self.user,
            Kind::Chat => &mut self.chat,
            Kind::Message => &mut self.message,
            Kind::Session => &mut self.session,
            Kind::Member | Kind::MemberChange => return,
        };
        *last = (*last).max(record.key().0);
    }

    /// Returns true if each last id is from 0 to 2^53 - 2, so that at least one further id is left. JSON
    /// clients read ids exactly up to 2^53 - 1.
    #[must_use]
    pub fn leave_others(&self) -> bool {
        [self.user, self.chat, self.message, self.session]
            .iter()
            .all(|last| (0..LARGEST).contains(last))
    }

    /// Returns the higher last id of each kind.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        Self {
            user: self.user.max(other.user),
            chat: self.chat.max(other.chat),
            message: self.message.max(other.message),
            session: self.session.max(other.session),
        }
    }
}

impl Counts {
    /// Returns the number of rows of all kinds.
    #[must_use]
    pub fn all(&self) -> i64 {
        self.users + self.chats + self.members + self.member_changes + self.messages + self.sessions
    }

    /// Adds one row of this kind.
    pub fn add(&mut self, kind: Kind) {
        *match kind {
            Kind::User => &mut self.users,
            Kind::Chat => &mut self.chats,
            Kind::Member => &mut self.members,
            Kind::MemberChange => &mut self.member_changes,
            Kind::Message => &mut self.messages,
            Kind::Session => &mut self.sessions,
        } += 1;
    }
}

/// Formats the counts for a human reader: `3 users, 2 chats, 4 memberships, 10 messages, 0 sessions`. Changes of
/// memberships are left out.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            users,
            chats,
            members,
            messages,
            sessions,
            ..
        } = self;
        write!(
            f,
            "{users} users, {chats} chats, {members} memberships, {messages} messages, \
             {sessions} sessions"
        )
    }
}

/// Returns the number of passwords that are not hashed yet.
async fn plain_passwords(tx: &mut DatabaseTransaction) -> Result<i64, Error> {
    const SQL: &str = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";
    Ok(on!(tx tx, |db| query_scalar(SQL).fetch_one(db).await)?)
}

/// Counts the rows in the database. Deleted chats and their rows do not count.
async fn count(tx: &mut DatabaseTransaction) -> Result<Counts, Error> {
    const SQL: &str = concat!(
        "SELECT (SELECT count(*) FROM customer) AS users, \
         (SELECT count(*) FROM chat WHERE deleted_at IS NULL) AS chats, \
         (SELECT count(*) FROM customer_chat WHERE ",
        chat_exists!("customer_chat.chat_id"),
        ") AS members, (SELECT count(*) FROM membership_change WHERE ",
        chat_exists!("membership_change.chat_id"),
        ") AS member_changes, (SELECT count(*) FROM message WHERE ",
        chat_exists!("message.chat_id"),
        ") AS messages, (SELECT count(*) FROM session) AS sessions"
    );
    Ok(on!(tx tx, |db| query_as(SQL).fetch_one(db).await)?)
}

/// An import into an empty database, in one transaction. A `Restore` that is dropped without `commit` leaves
/// the database empty.
pub struct Restore(DatabaseTransaction);

impl Restore {
    /// Begins an import; null if the database holds a user or a chat. All other rows refer to a user or a
    /// chat, so these two tables are enough. Other nodes cannot insert users or chats before the import ends. The
    /// search index may still have messages of chats that are gone, and the import may reuse their ids.
    pub async fn begin(database: &Database) -> Result<Option<Self>, Error> {
        let mut tx = database.begin().await?;
        if !lock::lock_if_empty(&mut tx).await? {
            return Ok(None);
        }
        disable_timeouts(&mut tx).await?;
        search_tokens::clear(&mut tx).await?;
        Ok(Some(Self(tx)))
    }

    /// Stores rows unchanged, in one statement. All rows must be of one kind, and at most 500, because a
    /// statement has a limited number of parameters.
    pub async fn add(&mut self, rows: &[Record]) -> Result<(), Error> {
        let Some(kind) = rows.first().map(Record::kind) else {
            return Ok(());
        };
        let table = with_given_ids(&self.0, columns(kind));
        on!(tx &mut self.0, |db| {
            let mut sql = QueryBuilder::new(table);
            sql.push_values(rows, |mut row, record| match record {
                Record::User(user) => {
                    row.push_bind(user.customer_id)
                        .push_bind(&user.username)
                        .push_bind(&user.password)
                        .push_bind(user.created_at);
                }
                Record::Chat(chat) => {
                    row.push_bind(chat.chat_id)
                        .push_bind(&chat.chat_name)
                        .push_bind(chat.created_at)
                        .push_bind(chat.seq)
                        .push_bind(chat.topic.as_deref())
                        .push_bind(chat.data.as_deref())
                        .push_bind(chat.changed_seq.unwrap_or(Seq(0)))
                        .push_bind(chat.changed_by);
                }
                Record::Member(member) => {
                    row.push_bind(member.customer_id)
                        .push_bind(member.chat_id)
                        .push_bind(&member.role)
                        .push_bind(member.joined_at)
                        .push_bind(member.last_read_message_id)
                        .push_bind(member.joined_message_id);
                }
                Record::MemberChange(change) => {
                    row.push_bind(change.chat_id)
                        .push_bind(change.customer_id)
                        .push_bind(change.seq)
                        .push_bind(change.changed_by)
                        .push_bind(change.changed_at);
                }
                Record::Message(message) => {
                    row.push_bind(message.message_id)
                        .push_bind(message.chat_id)
                        .push_bind(message.customer_id)
                        .push_bind(message.content.as_deref())
                        .push_bind(message.sent_at)
                        .push_bind(message.seq)
                        .push_bind(message.sent_seq)
                        .push_bind(message.edited_at)
                        .push_bind(message.deleted_at)
                        .push_bind(message.deleted_by)
                        .push_bind(message.reply_to)
                        .push_bind(message.client_message_id.as_deref());
                }
                Record::Session(session) => {
                    row.push_bind(session.session_id)
                        .push_bind(session.customer_id)
                        .push_bind(&session.token_hash)
                        .push_bind(session.created_at)
                        .push_bind(session.last_used_at)
                        .push_bind(session.expires_at)
                        .push_bind(session.user_agent.as_deref());
                }
            });
            sql.build().execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// Counts the rows that the database holds within this import, to compare with the rows of the export.
    pub async fn counts(&mut self) -> Result<Counts, Error> {
        count(&mut self.0).await
    }

    /// Returns a sentence for each invariant that the imported rows violate; empty if the rows are valid.
    pub async fn flaws(&mut self) -> Result<Vec<String>, Error> {
        let mut found = flaws_of_rows(&mut self.0).await?;
        let plain = plain_passwords(&mut self.0).await?;
        if plain > 0 {
            found.push(format!("passwords that are not hashed: {plain}"));
        }
        Ok(found)
    }

    /// Commits the import. Chats keep their latest messages. New rows get ids above `last`. The log begins a
    /// new epoch, so that clients reload their chats.
    pub async fn commit(mut self, last: LastIds) -> Result<(), Error> {
        set_last_ids(&mut self.0, last).await?;
        last_message::store_all(&mut self.0).await?;
        epoch::begin(&mut self.0).await?;
        self.0.commit().await
    }
}

/// Returns the table and its columns, in the order in which `Restore::add` binds the values.
fn columns(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "customer (customer_id, username, password, created_at)",
        Kind::Chat => {
            "chat (chat_id, chat_name, created_at, seq, topic, data, changed_seq, changed_by)"
        }
        Kind::Member => {
            "customer_chat (customer_id, chat_id, role, joined_at, last_read_message_id, \
             joined_message_id)"
        }
        Kind::MemberChange => {
            "membership_change (chat_id, customer_id, seq, changed_by, changed_at)"
        }
        Kind::Message => {
            "message (message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, \
             edited_at, deleted_at, deleted_by, reply_to, client_message_id)"
        }
        Kind::Session => {
            "session (session_id, customer_id, token_hash, created_at, last_used_at, expires_at, \
             user_agent)"
        }
    }
}

/// Number of rows in one query of an export: about 8 MB if every message has the maximum text of 16 KiB.
const PAGE: i64 = 500;

/// A consistent snapshot of the database, read table by table in order of key. Equal data always yields equal
/// exports.
pub struct Snapshot {
    tx: DatabaseTransaction,
    /// Table that is being read; null after the last table.
    kind: Option<Kind>,
    /// Key of the last row that was read of this table; `(0, 0)` at its start.
    after: (i64, i64),
}

/// Reads the next page of a table, after a key of one or two columns.
macro_rules! page {
    ($self:ident, $sql:expr, $row:ty, $kind:path $(, $key:expr)*) => {{
        let rows: Vec<$row> = on!(tx &mut $self.tx, |db| query_as($sql)$(.bind($key))*
            .bind(PAGE)
            .fetch_all(db)
            .await)?;
        Ok(rows.into_iter().map($kind).collect())
    }};
}

impl Snapshot {
    /// Creates a snapshot from this transaction. The transaction must see one consistent state.
    #[must_use]
    pub fn new(tx: DatabaseTransaction) -> Self {
        Self {
            tx,
            kind: Some(Kind::User),
            after: (0, 0),
        }
    }

    /// Counts the rows of the snapshot.
    pub async fn counts(&mut self) -> Result<Counts, Error> {
        count(&mut self.tx).await
    }

    /// Returns the number of passwords that are not hashed yet.
    pub async fn plain_passwords(&mut self) -> Result<i64, Error> {
        plain_passwords(&mut self.tx).await
    }

    /// Returns the next rows, all of one kind. Empty after the last row.
    pub async fn next(&mut self) -> Result<Vec<Record>, Error> {
        while let Some(kind) = self.kind {
            let page = self.page(kind).await?;
            if let Some(last) = page.last() {
                self.after = last.key();
                return Ok(page);
            }
            self.kind = kind.next();
            self.after = (0, 0);
        }
        Ok(Vec::new())
    }

    async fn page(&mut self, kind: Kind) -> Result<Vec<Record>, Error> {
        const USERS: &str = "SELECT customer_id, username, password, created_at FROM customer \
                             WHERE customer_id > $1 ORDER BY customer_id LIMIT $2";
        const CHATS: &str = "SELECT chat_id, chat_name, created_at, seq, topic, data, \
                             nullif(changed_seq, 0) AS changed_seq, changed_by FROM chat \
                             WHERE chat_id > $1 AND deleted_at IS NULL \
                             ORDER BY chat_id LIMIT $2";
        const MEMBERS: &str = concat!(
            "SELECT customer_id, chat_id, role, joined_at, last_read_message_id, joined_message_id \
             FROM customer_chat WHERE (customer_id, chat_id) > ($1, $2) AND ",
            chat_exists!("customer_chat.chat_id"),
            " ORDER BY customer_id, chat_id LIMIT $3"
        );
        const MEMBER_CHANGES: &str = concat!(
            "SELECT chat_id, customer_id, seq, changed_by, changed_at FROM membership_change \
             WHERE (chat_id, customer_id) > ($1, $2) AND ",
            chat_exists!("membership_change.chat_id"),
            " ORDER BY chat_id, customer_id LIMIT $3"
        );
        const MESSAGES: &str = concat!(
            "SELECT message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, edited_at, \
             deleted_at, deleted_by, reply_to, client_message_id FROM message \
             WHERE message_id > $1 AND ",
            chat_exists!("message.chat_id"),
            " ORDER BY message_id LIMIT $2"
        );
        const SESSIONS: &str = "SELECT session_id, customer_id, token_hash, created_at, \
                                last_used_at, expires_at, user_agent FROM session \
                                WHERE session_id > $1 ORDER BY session_id LIMIT $2";
        let (one, two) = self.after;
        match kind {
            Kind::User => page!(self, USERS, UserRecord, Record::User, one),
            Kind::Chat => page!(self, CHATS, ChatRecord, Record::Chat, one),
            Kind::Member => page!(self, MEMBERS, MemberRecord, Record::Member, one, two),
            Kind::MemberChange => {
                page!(
                    self,
                    MEMBER_CHANGES,
                    MemberChangeRecord,
                    Record::MemberChange,
                    one,
                    two
                )
            }
            Kind::Message => page!(self, MESSAGES, MessageRecord, Record::Message, one),
            Kind::Session => page!(self, SESSIONS, SessionRecord, Record::Session, one),
        }
    }

    /// Returns the last assigned ids. Sequences of Postgres are not part of a snapshot, so an id may be
    /// higher than in the snapshot, but never lower than an id of its rows.
    pub async fn last_ids(&mut self) -> Result<LastIds, Error> {
        Ok(last_ids(&mut self.tx).await?)
    }
}

/// Returns the last assigned ids; 0 for a kind of row without one.
pub(crate) async fn last_ids(tx: &mut DatabaseTransaction) -> Result<LastIds> {
    // An adopted database of the original server may use other sequence names, so Postgres resolves them.
    const POSTGRES: &str = "SELECT \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('customer', 'customer_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('chat', 'chat_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('message', 'message_id')::regclass), 0), \
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('session', 'session_id')::regclass), 0)";
    const SQLITE: &str = "SELECT \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'customer'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'chat'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0), \
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'session'), 0)";
    let (user, chat, message, session) =
        on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_as(sql).fetch_one(db).await)?;
    Ok(LastIds {
        user,
        chat,
        message,
        session,
    })
}

/// Sets the last assigned ids, so that the next ids follow them. 0 means that no id was assigned.
pub(crate) async fn set_last_ids(tx: &mut DatabaseTransaction, last: LastIds) -> Result<()> {
    const POSTGRES: &str = "SELECT \
        setval(pg_get_serial_sequence($1, $2)::regclass, greatest($3, 1), $3 > 0)";
    const FORGET: &str = "DELETE FROM sqlite_sequence WHERE name = $1";
    const SQLITE: &str = "INSERT INTO sqlite_sequence (name, seq) SELECT $1, $2 WHERE $2 > 0";
    for (table, column, last) in [
        ("customer", "customer_id", last.user),
        ("chat", "chat_id", last.chat),
        ("message", "message_id", last.message),
        ("session", "session_id", last.session),
    ] {
        match tx {
            DatabaseTransaction::Postgres(tx) => {
                let query = query(POSTGRES).bind(table).bind(column).bind(last);
                query.execute(&mut **tx).await?;
            }
            DatabaseTransaction::Sqlite(tx) => {
                query(FORGET).bind(table).execute(&mut **tx).await?;
                let query = query(SQLITE).bind(table).bind(last);
                query.execute(&mut **tx).await?;
            }
        }
    }
    Ok(())
}

/// Returns the start of an INSERT statement that stores rows with their given ids. Postgres requires
/// `OVERRIDING SYSTEM VALUE` for a table that generates its ids.
pub(crate) fn with_given_ids(tx: &DatabaseTransaction, table: &str) -> String {
    match tx {
        DatabaseTransaction::Postgres(_) => format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE "),
        DatabaseTransaction::Sqlite(_) => format!("INSERT INTO {table} "),
    }
}

/// Disables the statement timeout and the idle timeout for the rest of this transaction.
pub(crate) async fn disable_timeouts(tx: &mut DatabaseTransaction) -> Result<()> {
    if let DatabaseTransaction::Postgres(tx) = tx {
        // The reader of an export, or the source of an import, may pause for any time.
        for limit in [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ] {
            query(limit).execute(&mut **tx).await?;
        }
    }
    Ok(())
}
