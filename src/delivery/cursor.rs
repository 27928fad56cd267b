//! The position of one socket in one chat, and the decision about each event of the hub: send it, skip it, or
//! catch up from the database. A feed has a cursor for each of its chats.

use super::{feed::FeedAction, replay_cache::ReplayPage};
use crate::{
    hub::{Batch, Subscription},
    model::{ChatId, EntryId, Seq},
    protocol::{Audience, Frame},
};
use std::collections::HashSet;

/// The position of one socket in one chat.
pub(super) struct Cursor {
    pub(super) chat: ChatId,
    /// The socket's subscription to the chat. Dropped, it leaves the chat.
    pub(super) subscription: Subscription,
    /// The `seq` of the last change that was sent.
    pub(super) seen: Seq,
    /// The room's count of durable events, as of the last received event. If the subscription's count is
    /// higher after an overrun, a durable event was lost.
    pub(super) count: u64,
    /// The room's number of broadcast events, as of the last received event.
    pub(super) index: u64,
    /// The hub's generation when the socket subscribed. A higher generation means that all sockets were reset
    /// since.
    pub(super) generation: u64,
    /// The replay under way. Null if the socket receives live changes.
    pub(super) behind: Option<Box<CatchUp>>,
}

/// A replay under way. A message that changes during the replay may be read twice. The second time it is sent
/// as an edit, because the socket already has the message.
pub(super) struct CatchUp {
    /// The last change that the socket had when the replay began.
    since: Seq,
    /// The lowest change that the replay must reach: the chat's head at the time of the connect, or `since`
    /// for a replay that began later.
    pub(super) head: Seq,
    /// The things that the replay has sent.
    sent: HashSet<EntryId>,
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

/// The position at which a socket begins in a chat, and its replay. `head` is the chat's last change. `since`
/// is the last change that a resuming client has; null if the client does not resume, or pages the missed
/// changes by REST. Without `since` there is no replay: a frame before the ack would move the client's
/// position over changes that it does not have.
pub(super) fn beginning(since: Option<Seq>, head: Seq) -> (Seq, Option<Box<CatchUp>>) {
    let seen = since.unwrap_or(head);
    let behind = (seen < head).then(|| CatchUp::new(seen, head));
    (seen, behind)
}

impl Cursor {
    /// Takes a batch of live changes. Changes that were sent before are skipped. A gap before the first new
    /// change, or a replay under way, sends the socket to the database.
    pub(super) fn changes(
        &mut self,
        chat: ChatId,
        batch: &Batch,
        audience: Audience,
    ) -> FeedAction {
        let skip = batch.partition_point(|(seq, _)| *seq <= self.seen);
        let (Some((first, _)), Some((last, _))) = (batch.get(skip), batch.last()) else {
            return FeedAction::Nothing;
        };
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::skips_lagged() {
            self.seen = *last;
            return FeedAction::Changes(batch.encoded_from(skip, audience));
        }
        if self.behind.is_some() || *first != self.seen.next() {
            return self.fall_behind(chat);
        }
        self.seen = *last;
        FeedAction::Changes(batch.encoded_from(skip, audience))
    }

    /// Handles an overrun: the room's channel has discarded events that this socket had not received. Durable
    /// events are read from the database; ephemeral events are lost without harm. If a reset may be among the
    /// discarded events, the socket is reset.
    pub(super) fn overrun(&mut self, chat: ChatId, generation: u64) -> FeedAction {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::skips_lagged() {
            return FeedAction::Nothing;
        }
        if generation != self.generation {
            return FeedAction::Reset;
        }
        let count = self.subscription.count();
        if count == self.count {
            return FeedAction::Nothing;
        }
        self.count = count;
        self.fall_behind(chat)
    }

    /// Begins a replay from the last change that was sent, unless a replay is under way.
    pub(super) fn fall_behind(&mut self, chat: ChatId) -> FeedAction {
        let since = self.seen;
        self.behind
            .get_or_insert_with(|| CatchUp::new(since, since));
        FeedAction::CatchUp(chat)
    }

    /// The frames of a page from the database that the socket takes, with the position moved to its end. The last page
    /// ends the replay.
    pub(super) fn replay(&mut self, page: &ReplayPage, audience: Audience) -> Vec<Frame> {
        let Some(behind) = &mut self.behind else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        for (entry, frame) in page.entries() {
            let known = !behind.sent.insert(entry.id());
            let since = if known { entry.seq() } else { behind.since };
            if audience.takes(frame) {
                frames.push(page.frame(entry, frame, since));
            }
            self.seen = entry.seq();
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
    fn only_a_resuming_client_gets_a_replay() {
        for (since, head, seen, replay) in [
            (None, 7, 7, None),
            (Some(7), 7, 7, None),
            (Some(5), 7, 5, Some((5, 7))),
            // The client has received a change that the read of the head did not include.
            (Some(8), 7, 8, None),
        ] {
            let (begun, behind) = beginning(since.map(Seq), Seq(head));
            let range = behind.map(|behind| (behind.since.0, behind.head.0));
            assert_eq!((begun.0, range), (seen, replay), "{since:?} {head}");
        }
    }
}
