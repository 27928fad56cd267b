//! Pages of lists, with limits on their rows and, for messages, on the bytes of their text.

use crate::{
    error::Error,
    model::{CONTENT_BYTES, Message, MessageId},
    repository::{PageLimit, TextPage},
};

/// The number of rows if the caller gives none.
const DEFAULT: i64 = 100;
/// The most rows of a page. A higher number is lowered to this.
const MOST: i64 = 1000;
/// The most text of a page of messages, in bytes: 1 MiB is a thousand messages of usual length, or sixty of
/// the longest. The text can become six times as long in JSON.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;
/// The most memory of a row beside the text of a message, in bytes: a name of 255 characters with four bytes
/// each, ids and times.
const ROW_BYTES: usize = 1536;

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// True if more rows follow in the direction of the list.
    pub more: bool,
}

/// One page of messages, going back in time.
#[derive(Debug)]
pub struct BackPage {
    /// The messages, oldest first.
    pub rows: Vec<Message>,
    /// The message before which the next page ends; null on the last page.
    pub next: Option<MessageId>,
}

/// The number of rows that a caller asks for: from 1 to 1,000, by default 100.
#[derive(Clone, Copy, Debug)]
pub struct Limit(i64);

impl Limit {
    /// Parses a number of rows; the default if null.
    ///
    /// # Errors
    /// `invalid_field` for anything but a positive integer.
    pub fn parse(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text else {
            return Ok(Self(DEFAULT));
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>().unwrap_or(MOST) {
            n if digits && n > 0 => Ok(Self(n.min(MOST))),
            _ => Err(Error::invalid_field("limit", "an integer from 1 to 1000")),
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The number of rows to read: one more than wanted, to see if more follow.
    #[must_use]
    pub(super) fn and_one(self) -> i64 {
        self.0 + 1
    }

    /// Builds a page from rows read with the limit of `and_one`, the extra row last.
    pub(super) fn page<T>(self, mut rows: Vec<T>) -> Page<T> {
        let wanted = self.0 as usize;
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        Page { rows, more }
    }
}

/// The memory that a page takes at most before it is read.
impl Limit {
    /// The memory of a page of users, chats or members, in bytes.
    #[must_use]
    pub fn memory_of_names(self) -> usize {
        self.0 as usize * ROW_BYTES
    }

    /// The memory of a page of messages, in bytes.
    #[must_use]
    pub fn memory_of_messages(self) -> usize {
        let text = self.0 as usize * CONTENT_BYTES;
        self.memory_of_names() + text.min(PAGE_BYTES + CONTENT_BYTES)
    }

    /// The memory of a page of a user's chats, in bytes. Their last messages are read 64 at a time, and a chat
    /// has a name beside the message.
    #[must_use]
    pub fn memory_of_chats(self) -> usize {
        let text = self.0 as usize * CONTENT_BYTES;
        2 * self.memory_of_names() + text.min(2 * PAGE_BYTES)
    }
}

/// Pages of messages, which also end when their text is long enough.
impl Limit {
    /// The read limit of a page of messages.
    pub(super) fn of_messages(self) -> PageLimit {
        PageLimit {
            rows: self.and_one(),
            bytes: PAGE_BYTES,
        }
    }

    /// Builds a page from messages or the things of a log, in the order read. A page cut by size has more.
    pub(super) fn texts<T>(self, read: TextPage<T>) -> Page<T> {
        let Page { rows, more } = self.page(read.rows);
        let more = more || read.is_truncated;
        Page { rows, more }
    }

    /// Builds a page going back in time from messages read newest first.
    pub(super) fn messages_back(self, read: TextPage<Message>) -> BackPage {
        let Page { mut rows, more } = self.texts(read);
        let next = rows.last().filter(|_| more).map(|last| last.message_id);
        rows.reverse();
        BackPage { rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_positive_and_at_most_1000() {
        let limit = |text| Limit::parse(text).map(Limit::get).ok();
        assert_eq!(limit(None), Some(100));
        assert_eq!(limit(Some("5")), Some(5));
        assert_eq!(limit(Some("5000")), Some(1000));
        assert_eq!(limit(Some("99999999999999999999")), Some(1000));
        for wrong in ["", "0", "-1", "+1", "1.5", "ten"] {
            assert_eq!(limit(Some(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_extra_row_tells_of_more() {
        let three = Limit::parse(Some("3")).map(|limit| limit.page(vec![1, 2, 3, 4]));
        assert!(three.is_ok_and(|page| page.more && page.rows == [1, 2, 3]));
    }
}
