//! The tokens of the search index, as both stores keep them. A token is made of a segment of a chat and of a gram
//! (`model/search.rs`): the upper 32 bits are a hash of the segment, the lower 32 bits are the gram. So the tokens of
//! one segment stand together in the index, and a lookup finds messages of this segment alone.
//!
//! Postgres keeps the tokens of a message in an array under a GIN index. SQLite keeps them in an FTS5 table without
//! content, and the grams beside it, because such a table can remove only the tokens that it is told. FTS5 takes a
//! message's tokens as removed and as added, never one token as both: in one transaction it would lose other
//! messages with this token (SQLite 3.51, `detail=none` with `secure-delete`).

use super::{
    list::{column, json},
    row::from_row,
};
use crate::{
    database::DatabaseTransaction,
    model::{ChatId, MessageId, Seq, mix},
};
use sqlx::{Result, SqliteConnection, query, query_as};
use std::{collections::HashMap, fmt::Write};

/// A range of message ids of a chat, up to the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Id of the chat.
    pub(super) chat: ChatId,
    /// First id of the range; 0 for the first segment of a chat.
    pub(super) first: MessageId,
}

impl Segment {
    /// Returns the upper half of the segment's tokens; the lower half is 0. Two segments with one value only make a
    /// search compare more messages.
    pub(super) fn prefix(self) -> i64 {
        let mixed = mix(
            mix(0, self.chat.0.cast_unsigned()),
            self.first.0.cast_unsigned(),
        );
        (mixed & !u64::from(u32::MAX)).cast_signed()
    }

    /// Returns the tokens of grams in this segment.
    pub(super) fn tokens(self, grams: &[u32]) -> impl Iterator<Item = i64> {
        let prefix = self.prefix();
        grams.iter().map(move |&gram| prefix | i64::from(gram))
    }

    /// Returns tokens as a text of hexadecimal numbers with `between` between them, as FTS5 takes them.
    pub(super) fn words(self, grams: &[u32], between: &str) -> String {
        let mut words = String::with_capacity(grams.len() * (16 + between.len()));
        for token in self.tokens(grams) {
            let between = if words.is_empty() { "" } else { between };
            // Writing to a string cannot fail.
            let _ = write!(words, "{between}{token:016x}");
        }
        words
    }

    /// Returns tokens as the text of an array of Postgres.
    fn array(self, grams: &[u32]) -> String {
        let mut array = String::from("{");
        for token in self.tokens(grams) {
            let between = if array.len() == 1 { "" } else { "," };
            let _ = write!(array, "{between}{token}");
        }
        array + "}"
    }
}

/// A message to store in the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Segment of the message.
    pub(super) segment: Segment,
    /// Id of the message.
    pub(super) message: MessageId,
    /// Number of the latest change of the message.
    pub(super) seq: Seq,
    /// Grams of the present text; empty if there is none, or no text.
    pub(super) grams: Vec<u32>,
    /// Grams that SQLite has of the message. Empty on Postgres, which replaces them unseen.
    pub(super) old: Vec<u32>,
}

impl Entry {
    /// Returns the grams that the message has no more.
    pub(super) fn removed(&self) -> Vec<u32> {
        missing(&self.old, &self.grams)
    }

    /// Returns the grams that the message has gained.
    fn added(&self) -> Vec<u32> {
        missing(&self.grams, &self.old)
    }
}

/// Returns the elements of `from` that `other` lacks. Both are in ascending order.
fn missing(from: &[u32], other: &[u32]) -> Vec<u32> {
    let lacking = |gram: &&u32| other.binary_search(gram).is_err();
    from.iter().filter(lacking).copied().collect()
}

/// The stored grams of a message on SQLite.
pub(super) struct StoredGrams {
    pub(super) message_id: MessageId,
    grams: Vec<u8>,
}

from_row!(StoredGrams { message_id, grams });

impl StoredGrams {
    /// Returns the grams.
    pub(super) fn grams(&self) -> Vec<u32> {
        let (grams, _) = self.grams.as_chunks();
        grams.iter().copied().map(u32::from_le_bytes).collect()
    }
}

/// Returns the bytes of grams as hexadecimal digits.
fn hex(grams: &[u32]) -> String {
    let bytes: Vec<u8> = grams.iter().flat_map(|gram| gram.to_le_bytes()).collect();
    hex::encode(bytes)
}

/// Reads the stored grams of the entries of one chat that may be in the index already. Postgres needs no grams.
pub(super) async fn read_old(
    tx: &mut DatabaseTransaction,
    chat: ChatId,
    entries: &mut [Entry],
    last: MessageId,
) -> Result<()> {
    const SQLITE: &str = "SELECT m.message_id, m.grams FROM json_each($2) AS r \
                          JOIN message_search m ON m.chat_id = $1 AND m.message_id = r.value";
    let DatabaseTransaction::Sqlite(tx) = tx else {
        return Ok(());
    };
    let known: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.message <= last)
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    let stored: Vec<StoredGrams> = query_as(SQLITE)
        .bind(chat)
        .bind(json(&known, |entry| entry.message.0))
        .fetch_all(&mut **tx)
        .await?;
    let stored: HashMap<MessageId, Vec<u32>> = stored
        .iter()
        .map(|row| (row.message_id, row.grams()))
        .collect();
    for entry in entries {
        if let Some(old) = stored.get(&entry.message) {
            entry.old.clone_from(old);
        }
    }
    Ok(())
}

/// Stores the tokens of the entries, and removes those that the messages have no more.
pub(super) async fn write(tx: &mut DatabaseTransaction, mut entries: Vec<Entry>) -> Result<()> {
    // FTS5 collects the tokens of ascending ids in memory, and writes them at each smaller id.
    entries.sort_unstable_by_key(|entry| entry.message);
    match tx {
        DatabaseTransaction::Postgres(tx) => {
            const STORE: &str = "INSERT INTO message_search (chat_id, message_id, tokens) \
                SELECT r.chat, r.id, CAST(r.tokens AS bigint[]) \
                FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS r (chat, id, tokens) \
                ON CONFLICT (chat_id, message_id) DO UPDATE SET tokens = excluded.tokens";
            const REMOVE: &str = "DELETE FROM message_search AS m \
                USING unnest($1::bigint[], $2::bigint[]) AS r (chat, id) \
                WHERE m.chat_id = r.chat AND m.message_id = r.id";
            let (removed, stored): (Vec<Entry>, Vec<Entry>) = entries
                .into_iter()
                .partition(|entry| entry.grams.is_empty());
            if !removed.is_empty() {
                let query = query(REMOVE).bind(column(&removed, |entry| entry.segment.chat.0));
                let query = query.bind(column(&removed, |entry| entry.message.0));
                query.execute(&mut **tx).await?;
            }
            if !stored.is_empty() {
                let query = query(STORE).bind(column(&stored, |entry| entry.segment.chat.0));
                let query = query.bind(column(&stored, |entry| entry.message.0));
                let array = |entry: &Entry| entry.segment.array(&entry.grams);
                let query = query.bind(column(&stored, array));
                query.execute(&mut **tx).await?;
            }
            Ok(())
        }
        DatabaseTransaction::Sqlite(tx) => write_sqlite(tx, &entries).await,
    }
}

async fn write_sqlite(tx: &mut SqliteConnection, entries: &[Entry]) -> Result<()> {
    const FORGET: &str = "INSERT INTO message_token (message_token, rowid, tokens) \
                          SELECT 'delete', value ->> 0, value ->> 1 FROM json_each($1)";
    const ADD: &str = "INSERT INTO message_token (rowid, tokens) \
                       SELECT value ->> 0, value ->> 1 FROM json_each($1)";
    const REMOVE: &str = "DELETE FROM message_search WHERE (chat_id, message_id) IN \
                          (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
    const STORE: &str = "INSERT INTO message_search (chat_id, message_id, grams) \
                         SELECT value ->> 0, value ->> 1, unhex(value ->> 2) \
                         FROM json_each($1) WHERE TRUE \
                         ON CONFLICT (chat_id, message_id) DO UPDATE SET grams = excluded.grams";
    let is_changed = |entry: &&Entry| entry.old != entry.grams;
    let changed: Vec<&Entry> = entries.iter().filter(is_changed).collect();
    let (known, gone): (Vec<&Entry>, Vec<&Entry>) = changed
        .iter()
        .copied()
        .partition(|entry| !entry.grams.is_empty());
    let old: Vec<&Entry> = changed
        .iter()
        .copied()
        .filter(|entry| !entry.old.is_empty())
        .collect();
    // FTS5 counts its rows by these two statements: a changed message is in both, also without a token.
    let removed = json(&old, |entry| {
        let words = entry.segment.words(&entry.removed(), " ");
        (entry.message.0, words)
    });
    let added = json(&known, |entry| {
        let words = entry.segment.words(&entry.added(), " ");
        (entry.message.0, words)
    });
    let gone_rows = json(&gone, |entry| (entry.segment.chat.0, entry.message.0));
    let rows = json(&known, |entry| {
        (entry.segment.chat.0, entry.message.0, hex(&entry.grams))
    });
    for (sql, rows, is_empty) in [
        (FORGET, removed, old.is_empty()),
        (REMOVE, gone_rows, gone.is_empty()),
        (ADD, added, known.is_empty()),
        (STORE, rows, known.is_empty()),
    ] {
        if !is_empty {
            query(sql).bind(rows).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// Deletes all tokens of all messages. An import does so: it reuses the ids of chats that are gone.
pub(super) async fn clear(tx: &mut DatabaseTransaction) -> Result<()> {
    const TABLES: [&str; 3] = [
        "DELETE FROM message_search",
        "DELETE FROM search_segment",
        "DELETE FROM search_position",
    ];
    const TOKENS: &str = "INSERT INTO message_token (message_token) VALUES ('delete-all')";
    for table in TABLES {
        match tx {
            DatabaseTransaction::Postgres(tx) => {
                query(table).execute(&mut **tx).await?.rows_affected()
            }
            DatabaseTransaction::Sqlite(tx) => {
                query(table).execute(&mut **tx).await?.rows_affected()
            }
        };
    }
    if let DatabaseTransaction::Sqlite(tx) = tx {
        query(TOKENS).execute(&mut **tx).await?;
    }
    Ok(())
}
