//! Fills the search index from the log, in short transactions. The index of a chat has a position: the messages
//! with a latest change up to it are in the index with their present text. A step reads the messages that have
//! changed after it, in order of seq, stores their tokens and moves the position. The messages that are not indexed
//! yet are thus the tail of the log, which a search reads besides the index.
//!
//! A step locks positions, and never a chat: no send waits for it on Postgres. On SQLite it holds the one writing
//! connection, so its work is bounded to some 10 ms.

use super::{
    list::{List, rows},
    row::from_row,
    search_tokens::{self, Entry, Segment},
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, MessageId, Seq, grams_of},
};
use futures_util::TryStreamExt;
use sqlx::{Result, query, query_as, query_scalar, query_with};

/// Maximum number of messages that one step reads.
const MAX_MESSAGES: usize = 500;
/// Text that one step may read, in bytes: about 10 ms of work on SQLite. The message that reaches it is the last one.
const MAX_BYTES: usize = 16 * 1024;
/// Text that one step may read while messages are sent. The commit of a message waits for the log that a step has
/// written: with a large step one commit in a hundred took several milliseconds more.
const MAX_BUSY_BYTES: usize = 2 * 1024;
/// Maximum number of tokens that one step removes on SQLite. Each is looked up on its own and overwritten, which
/// takes a hundred times as long as to add one. The tokens of a long message take several steps.
const MAX_REMOVED: usize = 256;
/// Number of messages after which a chat gets another segment. A lookup of frequent grams reads at most this many
/// entries, some 40 ms on Postgres; a rare text in a chat of two million messages takes 31 lookups, 1 ms.
const SEGMENT: i64 = 65_536;
/// Number of chats that one comparison reads: a few milliseconds.
const COMPARED_AT_ONCE: i64 = 1000;

/// Maximum number of chats that one step takes.
pub const MAX_INDEXED_CHATS: usize = 50;

/// Fills the search index.
#[derive(Clone, Copy)]
pub struct SearchIndexRepository<'a>(pub(super) &'a Database);

/// Result of one step.
#[derive(Clone, Debug, Default)]
pub struct IndexStep {
    /// Number of messages that were read.
    pub messages: usize,
    /// Chats of which more messages are to be read.
    pub behind: Vec<ChatId>,
    /// Chats that the step did not reach.
    pub left: Vec<ChatId>,
}

/// Chats that were compared with their positions.
#[derive(Clone, Debug)]
pub struct ComparedPositions {
    /// Last chat that was compared.
    pub last: ChatId,
    /// Chats to be indexed, or to be removed from the index.
    pub stale: Vec<ChatId>,
}

/// Position of a chat's index, locked until the end of the transaction.
struct Position {
    chat_id: ChatId,
    seq: Seq,
    last_message_id: MessageId,
    segment_messages: i64,
    /// First id of the last segment; null if the chat has no segment.
    segment: Option<MessageId>,
    /// Number of the latest change of the chat.
    head: Seq,
}

from_row!(Position {
    chat_id,
    seq,
    last_message_id,
    segment_messages,
    segment,
    head
});

/// A changed message of the log.
struct ChangedMessage {
    message_id: MessageId,
    seq: Seq,
    content: Option<String>,
}

from_row!(ChangedMessage {
    message_id,
    seq,
    content
});

/// A chat, and whether its index is stale.
struct ComparedChat {
    chat_id: ChatId,
    is_stale: bool,
}

from_row!(ComparedChat { chat_id, is_stale });

/// Work that is left to a step.
pub(super) struct Budget {
    messages: usize,
    bytes: usize,
    removed: usize,
}

impl Budget {
    pub(super) const fn full() -> Self {
        Self {
            messages: MAX_MESSAGES,
            bytes: MAX_BYTES,
            removed: MAX_REMOVED,
        }
    }

    fn is_spent(&self) -> bool {
        self.messages == 0 || self.bytes == 0 || self.removed == 0
    }

    /// Drops the entries that would remove more tokens than are left. The last entry that stays may remove a part of
    /// its tokens. Returns the number of entries that are whole.
    pub(super) fn fit(&mut self, entries: &mut Vec<Entry>) -> usize {
        for whole in 0..entries.len() {
            let mut removed = entries[whole].removed();
            if removed.len() <= self.removed {
                self.removed -= removed.len();
                continue;
            }
            removed.truncate(self.removed);
            entries.truncate(whole + 1);
            let entry = &mut entries[whole];
            let stays = |gram: &&u32| removed.binary_search(gram).is_err();
            entry.grams = entry.old.iter().filter(stays).copied().collect();
            self.removed = 0;
            return whole;
        }
        entries.len()
    }
}

impl SearchIndexRepository<'_> {
    /// Indexes the next messages of these chats, at most `MAX_INDEXED_CHATS`, in their order. Chats without a new
    /// change are left out, and so are chats that another node indexes at this time. The step is small if `busy` is
    /// true: messages are being sent.
    pub async fn step(self, chats: &[ChatId], busy: bool) -> Result<IndexStep, Error> {
        let mut tx = self.0.begin().await?;
        let mut positions = claim(&mut tx, chats).await?;
        positions.sort_by_key(|position| chats.iter().position(|chat| *chat == position.chat_id));
        let mut budget = Budget {
            bytes: if busy { MAX_BUSY_BYTES } else { MAX_BYTES },
            ..Budget::full()
        };
        let mut step = IndexStep::default();
        let (mut moved, mut entries, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for mut position in positions {
            if budget.is_spent() {
                step.left.push(position.chat_id);
                continue;
            }
            let (read, is_last) = next_entries(&mut tx, &mut position, &mut budget).await?;
            step.messages += read.len();
            if !is_last {
                step.behind.push(position.chat_id);
            }
            let read = read.into_iter().filter(|entry| {
                !entry.grams.is_empty() || entry.message <= position.last_message_id
            });
            let mut read: Vec<Entry> = read.collect();
            segments.extend(place(&mut tx, &mut position, &mut read).await?);
            entries.append(&mut read);
            moved.push(position);
        }
        add_segments(&mut tx, &segments).await?;
        search_tokens::write(&mut tx, entries).await?;
        store(&mut tx, &moved).await?;
        tx.commit().await?;
        Ok(step)
    }

    /// Compares the next chats, with ids above `after`, with their positions. Stale chats are to be indexed. Null
    /// after the last chat.
    pub async fn compare(self, after: ChatId) -> Result<Option<ComparedPositions>, Error> {
        const SQL: &str = "SELECT c.chat_id, \
                c.deleted_at IS NULL AND c.seq > coalesce(p.seq, 0) AS is_stale \
            FROM chat c LEFT JOIN search_position p ON p.chat_id = c.chat_id \
            WHERE c.chat_id > $1 ORDER BY c.chat_id LIMIT $2";
        self.compared(SQL, after).await
    }

    /// Compares the next positions, of chats with ids above `after`, with the chats. Stale chats do not exist any
    /// more, because a server of an earlier version removed them, and are to be removed from the index. Null after
    /// the last position.
    pub async fn orphans(self, after: ChatId) -> Result<Option<ComparedPositions>, Error> {
        const SQL: &str = "SELECT p.chat_id, c.chat_id IS NULL AS is_stale \
            FROM search_position p LEFT JOIN chat c ON c.chat_id = p.chat_id \
            WHERE p.chat_id > $1 ORDER BY p.chat_id LIMIT $2";
        self.compared(SQL, after).await
    }

    async fn compared(
        self,
        sql: &'static str,
        after: ChatId,
    ) -> Result<Option<ComparedPositions>, Error> {
        let chats: Vec<ComparedChat> = on!(read self.0, |db| query_as(sql)
            .bind(after)
            .bind(COMPARED_AT_ONCE)
            .fetch_all(db)
            .await)?;
        let last = chats.last().map(|chat| chat.chat_id);
        let stale = chats.into_iter().filter(|chat| chat.is_stale);
        let stale = stale.map(|chat| chat.chat_id).collect();
        Ok(last.map(|last| ComparedPositions { last, stale }))
    }
}

/// Builds the statement that makes missing positions.
macro_rules! make_positions {
    ($chats:literal) => {
        concat!(
            "INSERT INTO search_position (chat_id, seq) SELECT c.chat_id, 0 FROM chat c WHERE ",
            $chats,
            " AND c.deleted_at IS NULL AND c.seq > 0 AND NOT EXISTS ( \
                SELECT 1 FROM search_position p WHERE p.chat_id = c.chat_id) \
            ORDER BY c.chat_id ON CONFLICT (chat_id) DO NOTHING"
        )
    };
}
/// Builds the statement that locks and reads positions.
macro_rules! lock_positions {
    ($chats:literal, $lock:literal) => {
        concat!(
            "SELECT p.chat_id, p.seq, p.last_message_id, p.segment_messages, c.seq AS head, \
                (SELECT s.first_message_id FROM search_segment s WHERE s.chat_id = p.chat_id \
                    ORDER BY s.first_message_id DESC LIMIT 1) AS segment \
            FROM search_position p JOIN chat c ON c.chat_id = p.chat_id WHERE ",
            $chats,
            " AND c.deleted_at IS NULL AND p.seq < c.seq ORDER BY p.chat_id",
            $lock
        )
    };
}

/// Locks the positions of the chats with new changes. Missing positions are made. Positions that another node has
/// locked are left out.
async fn claim(tx: &mut DatabaseTransaction, chats: &[ChatId]) -> Result<Vec<Position>> {
    const MAKE: [&str; 2] = [
        make_positions!("c.chat_id = ANY($1)"),
        make_positions!("c.chat_id IN (SELECT value FROM json_each($1))"),
    ];
    const LOCK: [&str; 2] = [
        lock_positions!("p.chat_id = ANY($1)", " FOR UPDATE OF p SKIP LOCKED"),
        lock_positions!("p.chat_id IN (SELECT value FROM json_each($1))", ""),
    ];
    on!(tx tx, [MAKE[0], MAKE[1]], |sql, db| query(sql)
        .bind(List(chats))
        .execute(db)
        .await
        .map(drop))?;
    on!(tx tx, [LOCK[0], LOCK[1]], |sql, db| query_as(sql)
        .bind(List(chats))
        .fetch_all(db)
        .await)
}

/// Reads the next changed messages of a chat, and moves its position behind them. Returns true if the position has
/// reached the head of the chat.
async fn next_entries(
    tx: &mut DatabaseTransaction,
    position: &mut Position,
    budget: &mut Budget,
) -> Result<(Vec<Entry>, bool)> {
    const SQL: &str = "SELECT message_id, seq, content FROM message \
                       WHERE chat_id <= $1 AND (chat_id, seq) > ($1, $2) \
                       ORDER BY chat_id, seq LIMIT $3";
    let chat = position.chat_id;
    let most = budget.messages;
    let mut entries = Vec::new();
    on!(tx &mut *tx, |db| {
        let query = query_as::<_, ChangedMessage>(SQL).bind(chat).bind(position.seq).bind(most as i64);
        let mut changed = query.fetch(db);
        while let Some(ChangedMessage { message_id, seq, content }) = changed.try_next().await? {
            let content = content.unwrap_or_default();
            budget.messages -= 1;
            budget.bytes = budget.bytes.saturating_sub(content.len());
            entries.push(Entry {
                segment: Segment { chat, first: MessageId(0) },
                message: message_id,
                seq,
                grams: grams_of(&content),
                old: Vec::new(),
            });
            if budget.bytes == 0 {
                break;
            }
        }
    });
    let mut is_last = budget.bytes > 0 && entries.len() < most;
    search_tokens::read_old(tx, chat, &mut entries, position.last_message_id).await?;
    let read = entries.len();
    let whole = budget.fit(&mut entries);
    is_last &= whole == read;
    let last = whole.checked_sub(1).and_then(|last| entries.get(last));
    position.seq = last.map_or(position.seq, |last| last.seq);
    if is_last {
        // The changes up to the head were committed before the messages were read.
        position.seq = position.seq.max(position.head);
    }
    Ok((entries, is_last))
}

/// Assigns the entries of a chat to its segments. Returns the segments that begin with one of them.
async fn place(
    tx: &mut DatabaseTransaction,
    position: &mut Position,
    entries: &mut [Entry],
) -> Result<Vec<Segment>> {
    let chat = position.chat_id;
    let mut begun = Vec::new();
    entries.sort_unstable_by_key(|entry| entry.message);
    for entry in &mut *entries {
        if entry.message > position.last_message_id {
            position.last_message_id = entry.message;
            if position.segment.is_none() || position.segment_messages >= SEGMENT {
                let first = position.segment.map_or(MessageId(0), |_| entry.message);
                position.segment = Some(first);
                position.segment_messages = 0;
                begun.push(Segment { chat, first });
            }
            position.segment_messages += 1;
        }
        entry.segment.first = position.segment.unwrap_or(MessageId(0));
    }
    let is_older = |entry: &&mut Entry| entry.message < entry.segment.first;
    let mut older: Vec<&mut Entry> = entries.iter_mut().filter(is_older).collect();
    if !older.is_empty() {
        let ids: Vec<MessageId> = older.iter().map(|entry| entry.message).collect();
        let firsts = segments_of(tx, chat, &ids).await?;
        for (entry, first) in older.iter_mut().zip(firsts) {
            entry.segment.first = first;
        }
    }
    Ok(begun)
}

/// Returns the first ids of the segments of messages that are in earlier segments, in the order of `ids`, which is
/// ascending.
pub(super) async fn segments_of(
    tx: &mut DatabaseTransaction,
    chat: ChatId,
    ids: &[MessageId],
) -> Result<Vec<MessageId>> {
    const POSTGRES: &str = "SELECT coalesce((SELECT s.first_message_id FROM search_segment s \
            WHERE s.chat_id = $1 AND s.first_message_id <= k.id \
            ORDER BY s.first_message_id DESC LIMIT 1), 0) \
        FROM unnest($2::bigint[]) AS k (id) ORDER BY k.id";
    const SQLITE: &str = "SELECT coalesce((SELECT s.first_message_id FROM search_segment s \
            WHERE s.chat_id = $1 AND s.first_message_id <= k.value \
            ORDER BY s.first_message_id DESC LIMIT 1), 0) \
        FROM json_each($2) AS k ORDER BY k.value";
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_scalar(sql)
        .bind(chat)
        .bind(List(ids))
        .fetch_all(db)
        .await)
}

async fn add_segments(tx: &mut DatabaseTransaction, segments: &[Segment]) -> Result<()> {
    const POSTGRES: &str = "INSERT INTO search_segment (chat_id, first_message_id) \
                            SELECT chat, id FROM unnest($1::bigint[], $2::bigint[]) AS r (chat, id)";
    const SQLITE: &str = "INSERT INTO search_segment (chat_id, first_message_id) \
                          SELECT value ->> 0, value ->> 1 FROM json_each($1)";
    if segments.is_empty() {
        return Ok(());
    }
    let segments = rows(segments, |segment| [segment.chat.0, segment.first.0]);
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_with(sql, segments)
        .execute(db)
        .await
        .map(drop))
}

async fn store(tx: &mut DatabaseTransaction, positions: &[Position]) -> Result<()> {
    const POSTGRES: &str = "UPDATE search_position AS p SET seq = r.seq, \
            last_message_id = r.newest, segment_messages = r.messages \
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
            AS r (chat, seq, newest, messages) WHERE p.chat_id = r.chat";
    const SQLITE: &str = "UPDATE search_position AS p SET seq = r.value ->> 1, \
            last_message_id = r.value ->> 2, segment_messages = r.value ->> 3 \
        FROM json_each($1) AS r WHERE p.chat_id = r.value ->> 0";
    if positions.is_empty() {
        return Ok(());
    }
    let positions = rows(positions, |position| {
        let Position {
            chat_id,
            seq,
            last_message_id,
            segment_messages,
            ..
        } = position;
        [chat_id.0, seq.0, last_message_id.0, *segment_messages]
    });
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_with(sql, positions)
        .execute(db)
        .await
        .map(drop))
}
