//! One chat's broadcast channel.

use super::early::Early;
use crate::{
    model::{Seq, UserId},
    protocol::Frame,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{sync::broadcast, time::Instant};

/// How many signals a slow socket may be behind before it reads from the database instead. Small,
/// because every chat that somebody is in has a ring of this size; a signal carries all changes of
/// one commit, so that a busy chat does not use it up faster than a quiet one.
const RING: usize = 32;

/// Changes of one commit, by number, without a gap.
pub type Batch = Arc<[(Seq, Frame)]>;

/// What can happen in a chat.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages changed.
    Changes(Batch),
    /// Messages changed up to this number, and the changes must be read from the database.
    Behind(Seq),
    /// This user does not belong to the chat any more.
    Removed(UserId),
    /// The chat was deleted.
    Closed,
    /// Something of the moment, which may be lost: somebody came or left.
    Passing(Frame),
}

/// An event and its place among those that must not be lost.
#[derive(Clone, Debug)]
pub struct Signal {
    /// How many lasting events there have been, this one included if it is one.
    pub mark: u64,
    /// What happened.
    pub event: Event,
}

/// A chat's channel. The mark tells a receiver that was overrun whether it lost anything that
/// lasts, or only what may be lost.
pub(super) struct Channel {
    sender: broadcast::Sender<Signal>,
    /// A std lock around counting and sending together, so that marks are sent in order.
    told: Mutex<Told>,
}

/// What a chat has been told.
struct Told {
    /// How many lasting events.
    mark: u64,
    /// Up to which change.
    head: Seq,
    /// Changes whose turn has not come.
    early: Early,
}

/// What became of changes that came from one of several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// They were sent, or had been before.
    Taken,
    /// They wait for those before them.
    Held,
    /// They were sent although those before them are missing.
    Skipped,
}

impl Default for Channel {
    fn default() -> Self {
        let told = Mutex::new(Told {
            mark: 0,
            head: Seq(0),
            early: Early::default(),
        });
        Self {
            sender: broadcast::Sender::new(RING),
            told,
        }
    }
}

impl Channel {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.sender.subscribe()
    }

    pub(super) fn mark(&self) -> u64 {
        self.told().mark
    }

    /// Up to which change the chat has been told.
    pub(super) fn head(&self) -> Seq {
        self.told().head
    }

    /// Sends what must not be lost. That the chat is behind is news only where it has not been
    /// told of that change.
    pub(super) fn post(&self, event: Event) {
        self.send(&mut self.told(), event);
    }

    /// Sends changes when it is their turn: of several nodes that commit to one chat, the second
    /// may be heard before the first. Until then those that are early wait.
    pub(super) fn in_turn(&self, batch: Batch, until: Instant) -> Turn {
        let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) else {
            return Turn::Taken;
        };
        let mut told = self.told();
        if *last <= told.head {
            return Turn::Taken;
        }
        // Of a chat that has not been told of anything nobody knows what comes next.
        let early = told.head > Seq(0) && *first > told.head.next();
        if early && !told.early.is_full() {
            told.early.hold(batch, until);
            return Turn::Held;
        }
        self.send(&mut told, Event::Changes(batch));
        self.send_ready(&mut told);
        match early {
            true => Turn::Skipped,
            false => Turn::Taken,
        }
    }

    /// Sends what has waited long enough, although something before it is missing: whoever
    /// receives it reads that from the database.
    pub(super) fn release(&self, now: Instant) -> Turn {
        let mut told = self.told();
        self.send_ready(&mut told);
        let mut turn = Turn::Taken;
        while let Some(batch) = told.early.due(now) {
            self.send(&mut told, Event::Changes(batch));
            self.send_ready(&mut told);
            turn = Turn::Skipped;
        }
        turn
    }

    fn send_ready(&self, told: &mut Told) {
        while let Some(batch) = told.early.ready(told.head) {
            self.send(told, Event::Changes(batch));
        }
    }

    fn send(&self, told: &mut Told, event: Event) {
        match &event {
            Event::Behind(head) if *head <= told.head => return,
            Event::Behind(head) => told.head = *head,
            Event::Changes(batch) => {
                told.head = batch
                    .last()
                    .map_or(told.head, |(seq, _)| told.head.max(*seq));
            }
            Event::Removed(_) | Event::Closed | Event::Passing(_) => {}
        }
        told.mark += 1;
        // Without a receiver there is nobody to tell.
        let _ = self.sender.send(Signal {
            mark: told.mark,
            event,
        });
    }

    /// Sends what may be lost.
    pub(super) fn pass(&self, frame: Frame) {
        let told = self.told();
        let mark = told.mark;
        let _ = self.sender.send(Signal {
            mark,
            event: Event::Passing(frame),
        });
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn heard(receiver: &mut broadcast::Receiver<Signal>) -> Vec<i64> {
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

    /// Changes that may wait until 100 ms are over.
    fn in_turn(channel: &Channel, seqs: impl IntoIterator<Item = i64>) -> Turn {
        channel.in_turn(batch(seqs), later(100))
    }

    #[test]
    fn what_crossed_on_its_way_is_put_in_order() {
        let channel = Channel::default();
        let mut receiver = channel.subscribe();
        assert_eq!(in_turn(&channel, [5]), Turn::Taken);
        assert_eq!(in_turn(&channel, [9]), Turn::Held);
        assert_eq!(in_turn(&channel, [7, 8]), Turn::Held);
        assert_eq!(heard(&mut receiver), [5]);
        assert_eq!(in_turn(&channel, [6]), Turn::Taken);
        assert_eq!(heard(&mut receiver), [6, 7, 8, 9]);
        assert_eq!(in_turn(&channel, [8, 9]), Turn::Taken);
        assert_eq!(channel.release(later(100)), Turn::Taken);
        assert!(heard(&mut receiver).is_empty());
    }

    #[test]
    fn what_waits_in_vain_is_sent_with_its_hole() {
        let channel = Channel::default();
        let mut receiver = channel.subscribe();
        in_turn(&channel, [1]);
        assert_eq!(in_turn(&channel, [3]), Turn::Held);
        assert_eq!(channel.release(later(100)), Turn::Skipped);
        assert_eq!(in_turn(&channel, [2]), Turn::Taken);
        assert_eq!(in_turn(&channel, [4]), Turn::Taken);
        assert_eq!(heard(&mut receiver), [1, 3, 4]);
        assert_eq!(in_turn(&channel, [6]), Turn::Held);
        channel.post(Event::Behind(Seq(6)));
        assert_eq!(in_turn(&channel, [7]), Turn::Taken);
        assert_eq!(heard(&mut receiver), [7]);
    }

    #[test]
    fn what_has_not_waited_long_enough_is_not_released_by_another() {
        let channel = Channel::default();
        let mut receiver = channel.subscribe();
        in_turn(&channel, [1]);
        assert_eq!(in_turn(&channel, [3]), Turn::Held);
        assert_eq!(in_turn(&channel, [2]), Turn::Taken);
        // The order to release 3 is still on its way when 5 comes, which must not suffer from it.
        assert_eq!(channel.in_turn(batch([5]), later(150)), Turn::Held);
        assert_eq!(channel.release(later(100)), Turn::Taken);
        assert_eq!(heard(&mut receiver), [1, 2, 3]);
        assert_eq!(in_turn(&channel, [4]), Turn::Taken);
        assert_eq!(heard(&mut receiver), [4, 5]);
        // One that is due takes those before it along.
        assert_eq!(in_turn(&channel, [9]), Turn::Held);
        assert_eq!(channel.in_turn(batch([7]), later(150)), Turn::Held);
        assert_eq!(channel.in_turn(batch([11]), later(150)), Turn::Held);
        assert_eq!(channel.release(later(100)), Turn::Skipped);
        assert_eq!(heard(&mut receiver), [7, 9]);
        assert_eq!(channel.release(later(150)), Turn::Skipped);
        assert_eq!(heard(&mut receiver), [11]);
    }
}
