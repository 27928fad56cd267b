//! Writing everything into an empty database.

use super::{
    super::{dialect, epoch},
    Counts, Kind, LastIds, Record, count, plain_passwords,
};
use crate::{
    error::Error,
    store::{Store, StoreTransaction, flaws_of_rows, on},
};
use sqlx::QueryBuilder;

/// Fills an empty database, all or nothing: dropped without `commit`, it leaves it empty.
pub struct Restore(StoreTransaction);

impl Restore {
    /// Begins; none where the database holds a user or a chat, without which there is nothing else.
    /// Until the end nobody else writes to it.
    pub async fn begin(store: &Store) -> Result<Option<Self>, Error> {
        let mut tx = store.begin().await?;
        if !dialect::lock_if_empty(&mut tx).await? {
            return Ok(None);
        }
        dialect::take_any_time(&mut tx).await?;
        Ok(Some(Self(tx)))
    }

    /// Stores rows as they are, all of one kind and few enough for one statement: 500.
    pub async fn add(&mut self, rows: &[Record]) -> Result<(), Error> {
        let Some(kind) = rows.first().map(Record::kind) else {
            return Ok(());
        };
        let table = dialect::with_given_ids(&self.0, columns(kind));
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
                        .push_bind(chat.seq);
                }
                Record::Member(member) => {
                    row.push_bind(member.customer_id)
                        .push_bind(member.chat_id)
                        .push_bind(&member.role)
                        .push_bind(member.joined_at)
                        .push_bind(member.last_read_message_id)
                        .push_bind(member.joined_message_id);
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

    /// What the store counts of what was stored.
    pub async fn counts(&mut self) -> Result<Counts, Error> {
        count(&mut self.0).await
    }

    /// The flaws of all that was stored, a sentence each; empty where all is right.
    pub async fn flaws(&mut self) -> Result<Vec<String>, Error> {
        let mut found = flaws_of_rows(&mut self.0).await?;
        let plain = plain_passwords(&mut self.0).await?;
        if plain > 0 {
            found.push(format!("passwords that are not hashed: {plain}"));
        }
        Ok(found)
    }

    /// Makes it last; new rows get ids after these, and the log is another than before.
    pub async fn commit(mut self, last: LastIds) -> Result<(), Error> {
        dialect::set_last_ids(&mut self.0, last).await?;
        epoch::begin(&mut self.0).await?;
        self.0.commit().await
    }
}

/// A table and its columns, in the order of their values above.
fn columns(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "customer (customer_id, username, password, created_at)",
        Kind::Chat => "chat (chat_id, chat_name, created_at, seq)",
        Kind::Member => {
            "customer_chat (customer_id, chat_id, role, joined_at, last_read_message_id, \
             joined_message_id)"
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
