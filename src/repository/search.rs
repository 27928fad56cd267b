//! Search in a chat: the messages with a text, newest first.
//!
//! A search reads two parts of the log. The tail, the messages that have changed after the position of the index
//! (`search_index.rs`), is compared message by message. The rest is looked up in the index, one segment after the
//! other: messages with all grams of the text are candidates, and their present texts are compared. The position is
//! read first, so each acknowledged change is in one part: a message leaves the tail only after it is in the index.
//! Tokens of an earlier text of a message only make it a candidate in vain.
//!
//! A text without a gram, such as one letter, and a chat with a long tail are searched without the index: message by
//! message, from the newest one. A search compares at most `MAX_ROWS` messages, then the page ends, and the next page
//! goes on. It is a chain of statements of a few milliseconds each: a search that is dropped, because its request is
//! gone or takes too long, ends with the statement that runs.

use super::{
    chat::chat_exists, list::List, message::before, page::PageLimit, row::from_row,
    search_tokens::Segment,
};
use crate::{
    database::{Database, on},
    error::Error,
    model::{ChatId, MessageId, SearchText, Seq},
};
use futures_util::TryStreamExt;
use sqlx::{Result, query_as, query_scalar};
use std::{
    cmp::Reverse,
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::task::coop as task;

/// Maximum number of messages that one search compares: about 50 ms of work. The next page continues the search.
const MAX_ROWS: usize = 20_000;
/// Maximum size of the texts that one search compares, in bytes (8 MiB). A search stops after the message that
/// reaches this size.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Number of messages in one statement of a search without the index: a few milliseconds.
const ROWS_AT_ONCE: i64 = 1000;
/// Maximum number of messages in a tail that is read beside the index. A longer tail is rare: after an upgrade, or
/// while a chat grows by thousands of messages a second.
const MAX_TAIL: i64 = 10_000;
/// Maximum number of candidates in one lookup.
const CANDIDATES_AT_ONCE: i64 = 1000;
/// Number of candidates that one statement reads to compare them.
const COMPARED_AT_ONCE: usize = 100;
/// Maximum number of segments in one lookup. The first lookup takes one segment, and quick ones double the number.
const MAX_SEGMENTS_AT_ONCE: i64 = 32;
/// Maximum number of segments that one search looks into: 30 million messages.
const MAX_SEGMENTS: usize = 512;
/// Duration of a lookup up to which the next one takes more segments.
const QUICK: Duration = Duration::from_millis(5);

/// Searches the messages of a chat.
#[derive(Clone, Copy)]
pub struct SearchRepository<'a>(pub(super) &'a Database);

/// One page of search results.
#[derive(Debug)]
pub struct Found {
    /// Ids of the matching messages, newest first.
    pub ids: Vec<MessageId>,
    /// Value of `before` for the next search. Null if the whole chat was searched.
    pub next: Option<MessageId>,
}

/// A page that is being filled, newest messages first.
struct FoundPage {
    ids: Vec<MessageId>,
    bytes: usize,
    most: PageLimit,
    /// Matches in the tail that are not on the page yet, with the sizes of their texts: oldest first.
    tail: Vec<(MessageId, usize)>,
    /// Ids of all messages in the tail. The index has earlier texts of them.
    tail_ids: HashSet<MessageId>,
    /// Messages and bytes that may still be compared.
    rows_left: usize,
    bytes_left: usize,
}

/// State of the index of a chat.
struct IndexState {
    /// Position of the index; 0 if the chat is not indexed.
    position: Seq,
    /// Number of the latest change of the chat.
    head: Seq,
}

from_row!(IndexState { position, head });

/// The text of a message; null if the message is deleted.
type Text = (MessageId, Option<String>);

/// Result of comparing some candidates.
enum Progress {
    /// All were compared.
    More,
    /// The page is full.
    Full,
    /// No more messages may be compared. This one was the last.
    Spent(MessageId),
}

impl FoundPage {
    fn new(most: PageLimit) -> Self {
        Self {
            ids: Vec::new(),
            bytes: 0,
            most,
            tail: Vec::new(),
            tail_ids: HashSet::new(),
            rows_left: MAX_ROWS,
            bytes_left: MAX_BYTES,
        }
    }

    /// Counts a compared message.
    fn count(&mut self, content: Option<&str>) {
        self.rows_left = self.rows_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(content.map_or(0, str::len));
    }

    /// Returns true if no more messages may be compared.
    fn is_spent(&self) -> bool {
        self.rows_left == 0 || self.bytes_left == 0
    }

    /// Adds a match with a text of this size. Returns false if the page is full.
    fn push(&mut self, id: MessageId, size: usize) -> bool {
        let is_full = self.ids.len() as i64 >= self.most.rows
            || (self.bytes + size > self.most.bytes && !self.ids.is_empty());
        if !is_full {
            self.bytes += size;
            self.ids.push(id);
        }
        !is_full
    }

    /// Adds the matches in the tail from this id on. Returns false if the page is full.
    fn push_tail(&mut self, from: MessageId) -> bool {
        while let Some((id, size)) = self.tail.pop_if(|(id, _)| *id >= from) {
            if !self.push(id, size) {
                return false;
            }
        }
        true
    }

    /// Returns the full page. The next page begins after its last message.
    fn full(self) -> Found {
        let next = self.ids.last().copied();
        Found {
            ids: self.ids,
            next,
        }
    }

    /// Returns the page. All messages of the chat from `next` on were compared.
    fn until(self, next: Option<MessageId>) -> Found {
        Found {
            ids: self.ids,
            next,
        }
    }
}

impl SearchRepository<'_> {
    /// Returns the ids of the newest messages below `before` that contain `text`, newest first.
    pub async fn find(
        self,
        chat: ChatId,
        text: &SearchText,
        before: MessageId,
        most: PageLimit,
    ) -> Result<Found, Error> {
        let grams = text.grams();
        let mut page = FoundPage::new(most);
        let is_indexed = !grams.is_empty() && self.read_tail(chat, text, before, &mut page).await?;
        let found = match is_indexed {
            true => self.look_up(chat, (text, &grams), before, page).await,
            false => {
                let page = FoundPage::new(most);
                self.compare_all(chat, text, before, page).await
            }
        };
        Ok(found?)
    }

    /// Compares one message after the other, from the newest one.
    async fn compare_all(
        self,
        chat: ChatId,
        text: &SearchText,
        before: MessageId,
        mut page: FoundPage,
    ) -> Result<Found> {
        const POSTGRES: &str = concat!(
            "SELECT m.message_id, m.content FROM message m WHERE ",
            before!(POSTGRES)
        );
        const SQLITE: &str = concat!(
            "SELECT m.message_id, m.content FROM message m WHERE ",
            before!(SQLITE)
        );
        let mut below = before;
        loop {
            let mut rows = 0;
            on!(read self.0, [POSTGRES, SQLITE], |sql, db| {
                let query = query_as::<_, Text>(sql).bind(chat).bind(below).bind(ROWS_AT_ONCE);
                let mut texts = query.fetch(db);
                while let Some((id, content)) = texts.try_next().await? {
                    // Buffered rows are ready without waiting. Without this yield a long search would block the
                    // thread.
                    task::consume_budget().await;
                    let content = content.as_deref();
                    if let Some(content) = content.filter(|content| text.is_in(content))
                        && !page.push(id, content.len())
                    {
                        return Ok(page.until(Some(below)));
                    }
                    page.count(content);
                    (rows, below) = (rows + 1, id);
                    if page.is_spent() {
                        return Ok(page.until(Some(below)));
                    }
                }
            });
            if rows < ROWS_AT_ONCE {
                return Ok(page.until(None));
            }
        }
    }

    /// Compares the messages that have changed after the position of the index, and keeps the matches below
    /// `before`. Returns false if they are too many.
    async fn read_tail(
        self,
        chat: ChatId,
        text: &SearchText,
        before: MessageId,
        page: &mut FoundPage,
    ) -> Result<bool> {
        const STATE: &str = "SELECT coalesce(p.seq, 0) AS position, c.seq AS head FROM chat c \
                             LEFT JOIN search_position p ON p.chat_id = c.chat_id \
                             WHERE c.chat_id = $1 AND c.deleted_at IS NULL";
        const TAIL: &str = "SELECT message_id, content FROM message \
                            WHERE chat_id <= $1 AND (chat_id, seq) > ($1, $2) \
                            ORDER BY chat_id, seq LIMIT $3";
        let state = on!(read self.0, |db| query_as(STATE)
            .bind(chat)
            .fetch_optional(db)
            .await)?;
        let Some(IndexState { position, head }) = state else {
            return Ok(true);
        };
        if head.0 - position.0 > MAX_TAIL {
            return Ok(false);
        }
        on!(read self.0, |db| {
            // More changes may have come since the head was read.
            let query = query_as::<_, Text>(TAIL).bind(chat).bind(position).bind(MAX_ROWS as i64);
            let mut texts = query.fetch(db);
            while let Some((id, content)) = texts.try_next().await? {
                task::consume_budget().await;
                page.count(content.as_deref());
                if page.is_spent() {
                    return Ok(false);
                }
                page.tail_ids.insert(id);
                let content = content.filter(|content| id < before && text.is_in(content));
                page.tail.extend(content.map(|content| (id, content.len())));
            }
        });
        page.tail.sort_unstable();
        Ok(true)
    }

    /// Looks the grams up in the segments of the chat, newest first, and compares the candidates.
    async fn look_up(
        self,
        chat: ChatId,
        (text, grams): (&SearchText, &[u32]),
        before: MessageId,
        mut page: FoundPage,
    ) -> Result<Found> {
        let (mut below, mut at_once, mut walked) = (before, 1, 0);
        while walked < MAX_SEGMENTS {
            let segments = segments(self.0, chat, below, at_once).await?;
            let Some(last) = segments.last() else {
                return Ok(match page.push_tail(MessageId(0)) {
                    true => page.until(None),
                    false => page.full(),
                });
            };
            let begun = Instant::now();
            let candidates = candidates(self.0, &segments, grams, below).await?;
            at_once = match begun.elapsed() < QUICK {
                true => (at_once * 2).min(MAX_SEGMENTS_AT_ONCE),
                false => (at_once / 2).max(1),
            };
            for ids in candidates.chunks(COMPARED_AT_ONCE) {
                match self.compare(chat, text, ids, &mut page).await? {
                    Progress::More => {}
                    Progress::Full => return Ok(page.full()),
                    Progress::Spent(id) => return Ok(page.until(Some(id))),
                }
            }
            below = match candidates.last() {
                Some(id) if candidates.len() as i64 >= CANDIDATES_AT_ONCE => *id,
                _ => last.first,
            };
            walked += segments.len();
            if !page.push_tail(below) {
                return Ok(page.full());
            }
        }
        Ok(page.until(Some(below)))
    }

    /// Compares the present texts of candidates, newest first, and puts the matches on the page.
    async fn compare(
        self,
        chat: ChatId,
        text: &SearchText,
        ids: &[MessageId],
        page: &mut FoundPage,
    ) -> Result<Progress> {
        let mut texts = texts(self.0, chat, ids).await?;
        texts.sort_unstable_by_key(|(id, _)| Reverse(*id));
        for (id, content) in texts {
            task::consume_budget().await;
            page.count(content.as_deref());
            let is_match = |content: &String| text.is_in(content) && !page.tail_ids.contains(&id);
            let size = content.filter(is_match).map(|content| content.len());
            if !page.push_tail(id) || size.is_some_and(|size| !page.push(id, size)) {
                return Ok(Progress::Full);
            }
            if page.is_spent() {
                return Ok(Progress::Spent(id));
            }
        }
        Ok(Progress::More)
    }
}

/// Returns the segments of a chat that begin below an id, the newest first.
async fn segments(
    database: &Database,
    chat: ChatId,
    below: MessageId,
    most: i64,
) -> Result<Vec<Segment>> {
    const SQL: &str = "SELECT first_message_id FROM search_segment \
                       WHERE chat_id = $1 AND first_message_id < $2 \
                       ORDER BY first_message_id DESC LIMIT $3";
    let firsts: Vec<MessageId> = on!(read database, |db| query_scalar(SQL)
        .bind(chat)
        .bind(below)
        .bind(most)
        .fetch_all(db)
        .await)?;
    let segment = |first| Segment { chat, first };
    Ok(firsts.into_iter().map(segment).collect())
}

/// Returns the newest messages below `below` that have all grams in one of the segments, at most
/// `CANDIDATES_AT_ONCE`, the newest first. A hash may bring a message of another chat with it.
async fn candidates(
    database: &Database,
    segments: &[Segment],
    grams: &[u32],
    below: MessageId,
) -> Result<Vec<MessageId>> {
    // The condition on the tokens is the only one that an index serves, so Postgres has no other plan.
    const POSTGRES: &str = "SELECT f.message_id FROM unnest($1::bigint[]) AS s (prefix) \
        CROSS JOIN LATERAL (SELECT x.message_id FROM message_search x \
            WHERE x.tokens @> ARRAY(SELECT s.prefix | g.gram FROM unnest($2::bigint[]) AS g (gram)) \
                AND x.message_id < $3 ORDER BY x.message_id DESC LIMIT $4) AS f \
        ORDER BY f.message_id DESC LIMIT $4";
    const SQLITE: &str = "SELECT rowid FROM message_token \
                          WHERE message_token MATCH $1 AND rowid < $2 \
                          ORDER BY rowid DESC LIMIT $3";
    match database {
        Database::Postgres(db) => {
            let prefixes: Vec<i64> = segments.iter().map(|segment| segment.prefix()).collect();
            let grams: Vec<i64> = grams.iter().map(|&gram| i64::from(gram)).collect();
            let query = query_scalar(POSTGRES).bind(prefixes).bind(grams);
            query
                .bind(below)
                .bind(CANDIDATES_AT_ONCE)
                .fetch_all(db)
                .await
        }
        Database::Sqlite(embedded) => {
            let all = |segment: &Segment| format!("({})", segment.words(grams, " AND "));
            let expression: Vec<String> = segments.iter().map(all).collect();
            let query = query_scalar(SQLITE).bind(expression.join(" OR "));
            let query = query.bind(below).bind(CANDIDATES_AT_ONCE);
            query.fetch_all(embedded.readers()).await
        }
    }
}

/// Returns the texts of these messages of a chat. Messages of other chats are left out.
async fn texts(database: &Database, chat: ChatId, ids: &[MessageId]) -> Result<Vec<Text>> {
    const POSTGRES: &str = concat!(
        "SELECT m.message_id, m.content FROM message m \
         WHERE m.chat_id = $1 AND m.message_id = ANY($2) AND ",
        chat_exists!("$1")
    );
    const SQLITE: &str = concat!(
        "SELECT m.message_id, m.content FROM message m \
         WHERE m.chat_id = $1 AND m.message_id IN (SELECT value FROM json_each($2)) AND ",
        chat_exists!("$1")
    );
    on!(read database, [POSTGRES, SQLITE], |sql, db| query_as(sql)
        .bind(chat)
        .bind(List(ids))
        .fetch_all(db)
        .await)
}
