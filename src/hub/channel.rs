//! One chat's broadcast channel.

use crate::{
    model::{Seq, UserId},
    protocol::Frame,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// How many signals a slow socket may be behind before it reads from the database instead. Small,
/// because every chat that somebody is in has a ring of this size; a signal carries all changes of
/// one commit, so that a busy chat does not use it up faster than a quiet one.
const RING: usize = 64;

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
#[derive(Clone, Copy)]
struct Told {
    /// How many lasting events.
    mark: u64,
    /// Up to which change.
    head: Seq,
}

impl Default for Channel {
    fn default() -> Self {
        let told = Mutex::new(Told {
            mark: 0,
            head: Seq(0),
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

    /// Sends what must not be lost. That the chat is behind is news only where it has not been
    /// told of that change.
    pub(super) fn post(&self, event: Event) {
        let mut told = self.told();
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
