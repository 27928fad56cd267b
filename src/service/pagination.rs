//! Lists in pages.

use crate::{
    error::Error,
    model::{Message, MessageId},
    repository::{MessagePage, PageLimit},
};

/// Rows of a list where the caller names no number.
const DEFAULT: i64 = 100;
/// Most rows of a list at once; more is taken as this.
const MOST: i64 = 1000;
/// Most text of a page of messages, in bytes: a thousand of usual length, and sixty of the longest.
/// In JSON it can become six times as long.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// One page of a list, and whether more follows.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are more in the direction of the list.
    pub more: bool,
}

/// One page of messages, going back in time.
#[derive(Debug)]
pub struct BackPage {
    /// The messages, oldest first.
    pub rows: Vec<Message>,
    /// The message before which the next page ends. None where this page is the last.
    pub next: Option<MessageId>,
}

/// How many rows a caller wants: 100 where they say nothing, at most 1,000.
#[derive(Clone, Copy, Debug)]
pub struct Limit(i64);

impl Limit {
    /// Reads a number of rows.
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

    /// The rows themselves.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// One row more than wanted: whether it is there tells whether more follows.
    #[must_use]
    pub(super) fn and_one(self) -> i64 {
        self.0 + 1
    }

    /// Makes a page of rows that were read with `and_one`, the extra one last.
    pub(super) fn page<T>(self, mut rows: Vec<T>) -> Page<T> {
        let wanted = self.0 as usize;
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        Page { rows, more }
    }
}

/// Pages of messages, which also end where their text is long enough.
impl Limit {
    /// What is to be read for one.
    pub(super) fn of_messages(self) -> PageLimit {
        PageLimit {
            rows: self.and_one(),
            bytes: PAGE_BYTES,
        }
    }

    /// Makes a page of what was read.
    pub(super) fn messages(self, read: MessagePage) -> Page<Message> {
        let Page { rows, more } = self.page(read.rows);
        let more = more || read.cut;
        Page { rows, more }
    }

    /// Makes a page that goes back in time of what was read, newest first.
    pub(super) fn messages_back(self, read: MessagePage) -> BackPage {
        let Page { mut rows, more } = self.messages(read);
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
