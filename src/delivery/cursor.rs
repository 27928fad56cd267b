//! How far one chat's frames have been sent on one socket, and what comes next.

use super::{feed::FeedAction, replay_cache::Page};
use crate::{
    hub::{Batch, Subscription},
    model::{ChatId, MessageId, Seq},
    protocol::Frame,
};
use std::collections::HashSet;

/// How far one chat's frames have been sent.
pub(super) struct Cursor {
    pub(super) chat: ChatId,
    pub(super) seat: Subscription,
    /// The last change that was sent.
    pub(super) seen: Seq,
    /// The last lasting event that was taken note of.
    pub(super) mark: u64,
    /// How often every socket had to begin again when this one came.
    pub(super) generation: u64,
    /// Reading from the database: what the socket had before, and what it has got since.
    pub(super) behind: Option<Box<CatchUp>>,
}

/// A replay under way. A message changed while its replay is under way may turn up twice: the
/// second time it is an edit, because the socket has it.
pub(super) struct CatchUp {
    since: Seq,
    /// The head that the socket knows of: the replay ends no earlier.
    pub(super) head: Seq,
    sent: HashSet<MessageId>,
}

impl CatchUp {
    pub(super) fn new(since: Seq, head: Seq) -> Box<Self> {
        Box::new(Self {
            since,
            head,
            sent: HashSet::new(),
        })
    }
}

/// The position at which a socket begins in a chat, and its replay. `head` is the chat's last change.
/// `since` is the last change that a resuming client has; None if it does not resume, or pages what it
/// missed by REST. Such a client gets no replay: a frame before the ack would move its position over
/// changes that it does not have.
pub(super) fn beginning(since: Option<Seq>, head: Seq) -> (Seq, Option<Box<CatchUp>>) {
    let seen = since.unwrap_or(head);
    let behind = (seen < head).then(|| CatchUp::new(seen, head));
    (seen, behind)
}

impl Cursor {
    pub(super) fn changes(&mut self, chat: ChatId, batch: Batch) -> FeedAction {
        let skip = batch.partition_point(|(seq, _)| *seq <= self.seen);
        let (Some((first, _)), Some((last, _))) = (batch.get(skip), batch.last()) else {
            return FeedAction::Nothing;
        };
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::skips_lagged() {
            self.seen = *last;
            return FeedAction::Changes(batch, skip);
        }
        if self.behind.is_some() || *first != self.seen.next() {
            return self.fall_behind(chat);
        }
        self.seen = *last;
        FeedAction::Changes(batch, skip)
    }

    /// The channel went on without this socket: what lasts is read from the database.
    pub(super) fn overrun(&mut self, chat: ChatId, generation: u64) -> FeedAction {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::skips_lagged() {
            return FeedAction::Nothing;
        }
        if generation != self.generation {
            return FeedAction::Reset;
        }
        let mark = self.seat.mark();
        if mark == self.mark {
            return FeedAction::Nothing;
        }
        self.mark = mark;
        self.fall_behind(chat)
    }

    pub(super) fn fall_behind(&mut self, chat: ChatId) -> FeedAction {
        let since = self.seen;
        self.behind
            .get_or_insert_with(|| CatchUp::new(since, since));
        FeedAction::CatchUp(chat)
    }

    /// The frames of a page from the database. A page that is not full is the last one.
    pub(super) fn replay(&mut self, page: &Page) -> Vec<Frame> {
        let Some(behind) = &mut self.behind else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        for (message, frame) in page.messages() {
            let known = !behind.sent.insert(message.message_id);
            let since = if known { message.seq } else { behind.since };
            frames.push(page.frame(message, frame, since));
            self.seen = message.seq;
        }
        if page.is_last() {
            self.behind = None;
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_resumes_is_sent_what_came_before() {
        for (since, head, seen, replay) in [
            (None, 7, 7, None),
            (Some(7), 7, 7, None),
            (Some(5), 7, 5, Some((5, 7))),
            // It was sent more than the database showed it.
            (Some(8), 7, 8, None),
        ] {
            let (begun, behind) = beginning(since.map(Seq), Seq(head));
            let range = behind.map(|behind| (behind.since.0, behind.head.0));
            assert_eq!((begun.0, range), (seen, replay), "{since:?} {head}");
        }
    }
}
