//! One chat's broadcast channel.

use crate::{
    model::{Seq, UserId},
    protocol::Frame,
};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::broadcast, time::Instant};

/// How many signals a slow socket may be behind before it reads from the database instead. Small,
/// because every chat that somebody is in has a ring of this size; a signal carries all changes of
/// one commit, so that a busy chat does not use it up faster than a quiet one.
const CHANNEL_CAPACITY: usize = 32;

/// Changes of one commit, by number, without a gap.
pub type Batch = Arc<[(Seq, Frame)]>;

/// What can happen in a chat.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages changed.
    Changes(Batch),
    /// Messages changed up to this number, and the changes must be read from the database.
    HeadAdvanced(Seq),
    /// This user does not belong to the chat any more.
    Removed(UserId),
    /// Another node says so: the database is asked.
    RemovalReported(UserId),
    /// The chat was deleted.
    Closed,
    /// The chat was told of another log: the database went back, or was replaced.
    Reset,
    /// Something of the moment, which may be lost: somebody came or left.
    Ephemeral(Frame),
}

/// Where changes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Committed by this node: true.
    Here,
    /// Heard over the link, where anything may be said.
    There,
}

/// An event and its place among those that must not be lost.
#[derive(Clone, Debug)]
pub struct Sequenced {
    /// How many lasting events there have been, this one included if it is one.
    pub mark: u64,
    /// What happened.
    pub event: Event,
}

/// A chat's channel. The mark tells a receiver that was overrun whether it lost anything that
/// lasts, or only what may be lost.
pub(super) struct Room {
    sender: broadcast::Sender<Sequenced>,
    /// A std lock around counting and sending together, so that marks are sent in order.
    told: Mutex<Told>,
}

/// What a chat has been told.
struct Told {
    /// How many lasting events.
    mark: u64,
    /// Up to which change; none while it is not known where the chat is.
    head: Option<Seq>,
    /// Up to which change the chat is known to be stored: committed here, or read from the database.
    stored: Seq,
    /// The head that the first look found; it was not signalled.
    learned: Seq,
    /// The last change that was told, by its frame's fingerprint.
    last: Option<(Seq, u64)>,
    /// Changes whose turn has not come.
    early: ReorderBuffer,
}

/// What became of changes that came from one of several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchOutcome {
    /// They were sent, or had been before.
    Delivered,
    /// They wait for those before them.
    Buffered,
    /// They were sent although those before them are missing.
    DeliveredWithGap,
    /// Those before them are missing: the database knows what there is.
    Missing,
    /// Another change was told under one of their numbers.
    Contradicted,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(CHANNEL_CAPACITY),
            told: Mutex::new(Told::begin(0)),
        }
    }
}

impl Room {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Sequenced> {
        self.sender.subscribe()
    }

    pub(super) fn mark(&self) -> u64 {
        self.told().mark
    }

    /// Up to which change the chat has been told.
    pub(super) fn head(&self) -> Seq {
        self.told().head.unwrap_or(Seq(0))
    }

    /// Up to which change the chat is known to be stored.
    pub(super) fn stored(&self) -> Seq {
        self.told().stored
    }

    /// Takes note of a head that was read from the database: the first one tells where the chat is.
    /// Gives the first one: a socket that has read less must catch up to it.
    pub(super) fn learn(&self, head: Seq) -> Seq {
        let mut told = self.told();
        told.stored = told.stored.max(head);
        if told.head.is_none() {
            told.head = Some(head);
            told.learned = head;
            self.send_ready(&mut told);
        }
        told.learned
    }

    /// Sends what must not be lost, and is true. That the chat is behind is news only where it has not been
    /// told of that change.
    pub(super) fn post(&self, event: Event) {
        let mut told = self.told();
        if let Event::Changes(batch) = &event
            && let Some((last, _)) = batch.last()
        {
            told.stored = told.stored.max(*last);
        }
        self.send(&mut told, event);
    }

    /// Forgets all that was told, and tells everyone to begin again.
    pub(super) fn reset(&self) {
        let mut told = self.told();
        *told = Told::begin(told.mark);
        self.send(&mut told, Event::Reset);
    }

    /// Sends changes when it is their turn: of several nodes that commit to one chat, the second
    /// may be heard before the first. Until then those that are early wait. Changes of another node
    /// are sent in their turn alone: a number far ahead does not prove that the chat is there.
    pub(super) fn in_turn(&self, batch: Batch, source: Source, until: Instant) -> BatchOutcome {
        let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) else {
            return BatchOutcome::Delivered;
        };
        let mut told = self.told();
        if source == Source::Here {
            told.stored = told.stored.max(*last);
        }
        if told.contradicts(&batch) {
            return BatchOutcome::Contradicted;
        }
        if told.head.is_some_and(|head| *last <= head) {
            return BatchOutcome::Delivered;
        }
        // Before the first look at a chat its next number is not known.
        let early = match told.head {
            None => source == Source::There,
            Some(head) => *first > head.next(),
        };
        if early && !told.early.is_full() {
            told.early.hold(batch, source, until);
            return BatchOutcome::Buffered;
        }
        if early && source == Source::There {
            return BatchOutcome::Missing;
        }
        self.send(&mut told, Event::Changes(batch));
        self.send_ready(&mut told);
        match early {
            true => BatchOutcome::DeliveredWithGap,
            false => BatchOutcome::Delivered,
        }
    }

    /// Gives up waiting where it was long enough. A commit of this node is sent although something
    /// before it is missing: each socket reads that from the database. Changes of another node are
    /// left to the database as a whole.
    pub(super) fn release(&self, now: Instant) -> BatchOutcome {
        let mut told = self.told();
        self.send_ready(&mut told);
        let mut turn = BatchOutcome::Delivered;
        while let Some((batch, source)) = told.early.due(now) {
            if source == Source::There {
                turn = BatchOutcome::Missing;
                continue;
            }
            self.send(&mut told, Event::Changes(batch));
            self.send_ready(&mut told);
            if turn != BatchOutcome::Missing {
                turn = BatchOutcome::DeliveredWithGap;
            }
        }
        turn
    }

    fn send_ready(&self, told: &mut Told) {
        while let Some(head) = told.head
            && let Some(batch) = told.early.ready(head)
        {
            self.send(told, Event::Changes(batch));
        }
    }

    fn send(&self, told: &mut Told, event: Event) {
        let head = told.head.unwrap_or(Seq(0));
        match &event {
            Event::HeadAdvanced(stored) => {
                told.stored = told.stored.max(*stored);
                if *stored <= head {
                    return;
                }
                told.head = Some(*stored);
                told.last = None;
            }
            Event::Changes(batch) => {
                if let Some((seq, frame)) = batch.last()
                    && *seq > head
                {
                    told.head = Some(*seq);
                    told.last = Some((*seq, fingerprint(frame)));
                }
            }
            Event::Removed(_)
            | Event::RemovalReported(_)
            | Event::Closed
            | Event::Reset
            | Event::Ephemeral(_) => {}
        }
        told.mark += 1;
        // Without a receiver the signal is dropped.
        let _ = self.sender.send(Sequenced {
            mark: told.mark,
            event,
        });
    }

    /// Sends what may be lost.
    pub(super) fn pass(&self, frame: Frame) {
        let told = self.told();
        let mark = told.mark;
        let _ = self.sender.send(Sequenced {
            mark,
            event: Event::Ephemeral(frame),
        });
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Nothing is known yet.
    fn begin(mark: u64) -> Self {
        Self {
            mark,
            head: None,
            stored: Seq(0),
            learned: Seq(0),
            last: None,
            early: ReorderBuffer::default(),
        }
    }

    /// Whether the batch has another change under the number that was told last. Each number is
    /// committed and published once, so one of the two is false, or the database went back.
    fn contradicts(&self, batch: &Batch) -> bool {
        let Some((seq, known)) = self.last else {
            return false;
        };
        let place = batch.binary_search_by_key(&seq, |(seq, _)| *seq);
        place.is_ok_and(|place| fingerprint(&batch[place].1) != known)
    }
}

fn fingerprint(frame: &Frame) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(frame.as_bytes());
    hasher.finish()
}

/// Batches that a chat holds back at most: some thousand messages.
const MOST: usize = 32;

/// The batches of one chat that wait for their turn, by their first number.
#[derive(Default)]
pub(super) struct ReorderBuffer(BTreeMap<i64, Waiting>);

/// A batch, where it comes from, and until when it waits.
struct Waiting {
    batch: Batch,
    source: Source,
    until: Instant,
}

impl ReorderBuffer {
    /// Whether no more can wait.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Holds a batch back until then. What was committed here stands against what is heard.
    pub(super) fn hold(&mut self, batch: Batch, source: Source, until: Instant) {
        let Some((first, _)) = batch.first() else {
            return;
        };
        let known = self.0.get(&first.0);
        if source == Source::Here || known.is_none_or(|known| known.source == Source::There) {
            let first = first.0;
            let waiting = Waiting {
                batch,
                source,
                until,
            };
            self.0.insert(first, waiting);
        }
    }

    /// The next batch whose turn it is after `head`, passing over what is known already.
    pub(super) fn ready(&mut self, head: Seq) -> Option<Batch> {
        while let Some(first) = self.0.first_entry() {
            let new = first
                .get()
                .batch
                .last()
                .is_some_and(|(last, _)| *last > head);
            if new && *first.key() > head.next().0 {
                return None;
            }
            let batch = first.remove().batch;
            if new {
                return Some(batch);
            }
        }
        None
    }

    /// The first batch, whosever turn it is, where it or one behind it has waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Batch, Source)> {
        let is_due = self.0.values().any(|waiting| waiting.until <= now);
        let first = is_due.then(|| self.0.pop_first()).flatten();
        first.map(|(_, waiting)| (waiting.batch, waiting.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::LazyLock, time::Duration};

    fn batch(seqs: impl IntoIterator<Item = i64>) -> Batch {
        let frame = || Frame::from_bytes(bytes::Bytes::from_static(b"{}"));
        seqs.into_iter().map(|seq| (Seq(seq), frame())).collect()
    }

    fn heard(receiver: &mut broadcast::Receiver<Sequenced>) -> Vec<i64> {
        let mut heard = Vec::new();
        while let Ok(signal) = receiver.try_recv() {
            if let Event::Changes(batch) = signal.event {
                heard.extend(batch.iter().map(|(seq, _)| seq.0));
            }
        }
        heard
    }

    fn later(ms: u64) -> Instant {
        static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
        *NOW + Duration::from_millis(ms)
    }

    /// Changes of another node that may wait until 100 ms are over.
    fn in_turn(channel: &Room, seqs: impl IntoIterator<Item = i64>) -> BatchOutcome {
        channel.in_turn(batch(seqs), Source::There, later(100))
    }

    /// The same of this node.
    fn own(channel: &Room, seqs: impl IntoIterator<Item = i64>, ms: u64) -> BatchOutcome {
        channel.in_turn(batch(seqs), Source::Here, later(ms))
    }

    #[test]
    fn what_crossed_on_its_way_is_put_in_order() {
        let channel = Room::default();
        let mut receiver = channel.subscribe();
        assert_eq!(in_turn(&channel, [5]), BatchOutcome::Buffered);
        assert_eq!(channel.learn(Seq(4)), Seq(4));
        assert_eq!(in_turn(&channel, [9]), BatchOutcome::Buffered);
        assert_eq!(in_turn(&channel, [7, 8]), BatchOutcome::Buffered);
        assert_eq!(heard(&mut receiver), [5]);
        assert_eq!(in_turn(&channel, [6]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [6, 7, 8, 9]);
        assert_eq!(in_turn(&channel, [8, 9]), BatchOutcome::Delivered);
        assert_eq!(channel.release(later(100)), BatchOutcome::Delivered);
        assert!(heard(&mut receiver).is_empty());
    }

    #[test]
    fn what_waits_in_vain_is_sent_with_its_hole_where_it_is_true() {
        let channel = Room::default();
        let mut receiver = channel.subscribe();
        own(&channel, [1], 100);
        assert_eq!(own(&channel, [3], 100), BatchOutcome::Buffered);
        assert_eq!(channel.release(later(100)), BatchOutcome::DeliveredWithGap);
        assert_eq!(in_turn(&channel, [2]), BatchOutcome::Delivered);
        assert_eq!(in_turn(&channel, [4]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [1, 3, 4]);
        assert_eq!(in_turn(&channel, [6]), BatchOutcome::Buffered);
        channel.post(Event::HeadAdvanced(Seq(6)));
        assert_eq!(in_turn(&channel, [7]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [7]);
    }

    #[test]
    fn what_is_heard_far_ahead_is_left_to_the_database() {
        let channel = Room::default();
        let mut receiver = channel.subscribe();
        channel.learn(Seq(1));
        assert_eq!(in_turn(&channel, [1_000_000]), BatchOutcome::Buffered);
        assert_eq!(channel.release(later(100)), BatchOutcome::Missing);
        assert_eq!((channel.head(), channel.stored()), (Seq(1), Seq(1)));
        assert_eq!(own(&channel, [2], 100), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [2]);
    }

    #[test]
    fn two_changes_of_one_number_are_a_contradiction() {
        let channel = Room::default();
        let one = |text: &'static str| -> Batch {
            let frame = Frame::from_bytes(bytes::Bytes::from_static(text.as_bytes()));
            [(Seq(2), frame)].into()
        };
        channel.learn(Seq(1));
        let heard = channel.in_turn(one("a"), Source::There, later(100));
        assert_eq!(heard, BatchOutcome::Delivered);
        let again = channel.in_turn(one("a"), Source::There, later(100));
        assert_eq!(again, BatchOutcome::Delivered);
        let other = channel.in_turn(one("b"), Source::Here, later(100));
        assert_eq!(other, BatchOutcome::Contradicted);
        channel.reset();
        assert_eq!((channel.head(), channel.stored()), (Seq(0), Seq(0)));
    }

    #[test]
    fn what_has_not_waited_long_enough_is_not_released_by_another() {
        let channel = Room::default();
        let mut receiver = channel.subscribe();
        own(&channel, [1], 100);
        assert_eq!(own(&channel, [3], 100), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [2], 100), BatchOutcome::Delivered);
        // The order to release 3 is still on its way when 5 comes, which must not suffer from it.
        assert_eq!(own(&channel, [5], 150), BatchOutcome::Buffered);
        assert_eq!(channel.release(later(100)), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [1, 2, 3]);
        assert_eq!(own(&channel, [4], 100), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [4, 5]);
        // One that is due takes those before it along.
        assert_eq!(own(&channel, [9], 100), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [7], 150), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [11], 150), BatchOutcome::Buffered);
        assert_eq!(channel.release(later(100)), BatchOutcome::DeliveredWithGap);
        assert_eq!(heard(&mut receiver), [7, 9]);
        assert_eq!(channel.release(later(150)), BatchOutcome::DeliveredWithGap);
        assert_eq!(heard(&mut receiver), [11]);
    }
}
