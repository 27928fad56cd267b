//! Reading everything, as it is at one moment.

use super::{
    super::{chat::living_chat, dialect},
    ChatRecord, Counts, Kind, LastIds, MemberRecord, MessageRecord, Record, SessionRecord,
    UserRecord, count, plain_passwords,
};
use crate::{
    error::Error,
    store::{StoreTransaction, on},
};
use sqlx::query_as;

/// Rows that are read at once: at the longest text of a message some 8 MB.
const PAGE: i64 = 500;

/// Everything at one moment, table by table and by key, so that the same data is always read in the
/// same order.
pub struct Snapshot {
    tx: StoreTransaction,
    /// The table that is being read; none at the end.
    kind: Option<Kind>,
    /// The key of the last row that was read of it.
    after: (i64, i64),
}

/// The next rows of a table after a key of one or two columns.
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
    /// In this transaction, which sees one moment.
    #[must_use]
    pub fn new(tx: StoreTransaction) -> Self {
        Self {
            tx,
            kind: Some(Kind::User),
            after: (0, 0),
        }
    }

    /// How many rows there are.
    pub async fn counts(&mut self) -> Result<Counts, Error> {
        count(&mut self.tx).await
    }

    /// How many passwords are not hashed yet.
    pub async fn plain_passwords(&mut self) -> Result<i64, Error> {
        plain_passwords(&mut self.tx).await
    }

    /// The next rows, all of one kind; none at the end.
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
        const CHATS: &str = "SELECT chat_id, chat_name, created_at, seq FROM chat \
                             WHERE chat_id > $1 AND deleted_at IS NULL \
                             ORDER BY chat_id LIMIT $2";
        const MEMBERS: &str = concat!(
            "SELECT customer_id, chat_id, role, joined_at, last_read_message_id, joined_message_id \
             FROM customer_chat WHERE (customer_id, chat_id) > ($1, $2) AND ",
            living_chat!("customer_chat.chat_id"),
            " ORDER BY customer_id, chat_id LIMIT $3"
        );
        const MESSAGES: &str = concat!(
            "SELECT message_id, chat_id, customer_id, content, sent_at, seq, sent_seq, edited_at, \
             deleted_at, deleted_by, reply_to, client_message_id FROM message \
             WHERE message_id > $1 AND ",
            living_chat!("message.chat_id"),
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
            Kind::Message => page!(self, MESSAGES, MessageRecord, Record::Message, one),
            Kind::Session => page!(self, SESSIONS, SessionRecord, Record::Session, one),
        }
    }

    /// The last ids that were given. On Postgres they are no part of the moment, and at least those
    /// of its rows.
    pub async fn last_ids(&mut self) -> Result<LastIds, Error> {
        Ok(dialect::last_ids(&mut self.tx).await?)
    }
}
