//! The broadcast channel of one chat on one node. The room puts batches that several nodes commit to the
//! chat into the order of their seqs, and buffers a batch that arrives too early.

use super::{
    batch::Batch,
    direct::{DirectLine, DirectSocket, LinePosition},
    reorder_buffer::ReorderBuffer,
};
use crate::{
    model::{Seq, UserId},
    protocol::Frame,
};
use std::{
    hash::{DefaultHasher, Hasher},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::broadcast, time::Instant};

/// The number of events that a slow socket may lag behind before it reads from the database instead. Small,
/// because every occupied chat has a ring buffer of this size. One event carries all changes of one commit,
/// so a busy chat does not use up the ring faster than a quiet chat.
const CHANNEL_CAPACITY: usize = 32;

/// An event in a chat.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages were sent, edited or deleted.
    Changes(Batch),
    /// Messages changed up to this seq, and the changes must be read from the database.
    HeadAdvanced(Seq),
    /// The user is no longer a member of the chat. Confirmed by the database.
    Removed(UserId),
    /// Another node reports that the user is no longer a member of the chat. The report is unconfirmed: the
    /// receiver asks the database.
    RemovalReported(UserId),
    /// The chat was deleted.
    Closed,
    /// The database went back to an older state or was replaced. The earlier frames belong to another log.
    Reset,
    /// An ephemeral event, which may be lost: a join, a leave, a typing notice or a read position.
    Ephemeral(Frame),
}

/// The origin of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Committed by this node, thus confirmed by the database.
    Local,
    /// Received over the cluster link, thus unconfirmed.
    Remote,
}

/// An event with its place among the events of its room.
#[derive(Clone, Debug)]
pub struct Sequenced {
    /// The number of durable events that the room has sent, including this event if it is durable.
    pub count: u64,
    /// The number of all events that the room has broadcast, including this event.
    pub index: u64,
    /// The event itself.
    pub event: Event,
}

/// The events of a room from one moment on.
#[derive(Debug)]
pub struct RoomEvents {
    /// Receives the events.
    pub receiver: broadcast::Receiver<Sequenced>,
    /// The number of events that the room had broadcast before.
    pub index: u64,
}

/// The broadcast channel of a chat, and its direct lines. A socket has one of the two. From the count of durable
/// events a receiver that lagged knows whether it lost a durable event, or only ephemeral events.
pub(super) struct Room {
    sender: broadcast::Sender<Sequenced>,
    /// A std lock. Counting and sending happen in one critical section, so that events are sent in the
    /// order of their counts.
    state: Mutex<RoomState>,
}

/// The history of the broadcast, as far as ordering needs it, and the direct lines.
struct RoomState {
    /// The number of durable events sent.
    count: u64,
    /// The number of all events broadcast.
    index: u64,
    /// The sockets that are written to at once. They have every change up to the head. A publisher shares the list
    /// while it writes.
    lines: Arc<Vec<Arc<DirectLine>>>,
    /// True if changes were queued for the lines and are not written yet.
    unwritten: bool,
    /// The last change sent, or the head read from the database; `None` before the first of either.
    head: Option<Seq>,
    /// The last change known to be stored: committed by this node, or read from the database.
    stored: Seq,
    /// The head that the first subscriber read from the database. Changes up to this head were not
    /// broadcast. 0 before the first read, and if a broadcast event set the head before the first read.
    learned: Seq,
    /// The last change sent, with the fingerprint of its frame; `None` if the frame is not known.
    last: Option<(Seq, u64)>,
    /// Batches that arrived too early.
    buffer: ReorderBuffer,
}

/// The outcome of delivering or releasing batches of a chat that several nodes write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchOutcome {
    /// The batch was sent now or earlier.
    Delivered,
    /// The batch waits for the changes before it.
    Buffered,
    /// The batch was sent although changes before it are missing.
    DeliveredWithGap,
    /// Changes before the batch are missing, and the batch was dropped. The head must be read from the
    /// database.
    Missing,
    /// A different change was already sent under one of the batch's seqs.
    Contradicted,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(CHANNEL_CAPACITY),
            state: Mutex::new(RoomState::empty()),
        }
    }
}

impl Room {
    pub(super) fn subscribe(&self) -> RoomEvents {
        let state = self.state();
        self.events(&state)
    }

    /// The events after those that are broadcast already.
    fn events(&self, state: &RoomState) -> RoomEvents {
        RoomEvents {
            receiver: self.sender.subscribe(),
            index: state.index,
        }
    }

    /// Opens a direct line to a socket that was sent every change up to `seen`, and has received every event
    /// up to the `index`th. `None` if the room is ahead of the socket.
    pub(super) fn open_line(
        &self,
        socket: DirectSocket,
        seen: Seq,
        index: u64,
    ) -> Option<Arc<DirectLine>> {
        let mut state = self.state();
        if state.index != index || state.head.is_some_and(|head| head > seen) {
            return None;
        }
        let line = Arc::new(DirectLine::new(socket, seen, state.count));
        Arc::make_mut(&mut state.lines).push(Arc::clone(&line));
        Some(line)
    }

    /// Closes a direct line. Returns the position of the socket, and the events after it, except for those
    /// between the end of a line that was cut and this call.
    pub(super) fn close_line(&self, line: &Arc<DirectLine>) -> (LinePosition, RoomEvents) {
        let mut state = self.state();
        state.remove(line);
        (line.take_back(state.index), self.events(&state))
    }

    /// Removes the direct line of a socket that leaves.
    pub(super) fn remove_line(&self, line: &Arc<DirectLine>) {
        self.state().remove(line);
    }

    pub(super) fn count(&self) -> u64 {
        self.state().count
    }

    /// The head of the room: the last change sent or loaded; 0 if no head is known yet.
    pub(super) fn head(&self) -> Seq {
        self.state().head.unwrap_or(Seq(0))
    }

    /// The last change known to be stored; 0 if none is known.
    pub(super) fn stored(&self) -> Seq {
        self.state().stored
    }

    /// Records a head that was read from the database. The first head sets the position of the room and
    /// sends buffered batches that follow it. Returns the first head: a socket that read a lower head must
    /// catch up to the returned head. Returns 0 if a broadcast event had set the position earlier.
    pub(super) fn observe_head(&self, head: Seq) -> Seq {
        self.publish(|state| {
            state.stored = state.stored.max(head);
            if state.head.is_none() {
                state.head = Some(head);
                state.learned = head;
                self.send_ready(state);
            }
            state.learned
        })
    }

    /// Runs an action that may send changes, and writes them to the direct lines once the lock is released. The
    /// send queues keep the order of the changes.
    fn publish<T>(&self, action: impl FnOnce(&mut RoomState) -> T) -> T {
        let mut state = self.state();
        let result = action(&mut state);
        let lines = mem::take(&mut state.unwritten).then(|| Arc::clone(&state.lines));
        drop(state);
        for line in lines.iter().flat_map(|lines| lines.iter()) {
            line.write_out();
        }
        result
    }

    /// Broadcasts a durable event that is confirmed, or is `RemovalReported`. `HeadAdvanced` is dropped if
    /// the room has already reached that head.
    pub(super) fn broadcast(&self, event: Event) {
        self.publish(|state| {
            if let Event::Changes(batch) = &event
                && let Some((last, _)) = batch.last()
            {
                state.stored = state.stored.max(*last);
            }
            self.send(state, event);
        });
    }

    /// Forgets the history of the log, and broadcasts `Reset`.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        // The counts of events never go back: receivers compare them.
        *state = RoomState {
            count: state.count,
            index: state.index,
            lines: mem::take(&mut state.lines),
            ..RoomState::empty()
        };
        self.send(&mut state, Event::Reset);
    }

    /// Broadcasts a batch in the order of seqs. If several nodes commit to one chat, the later batch may
    /// arrive first. An early batch waits in the reorder buffer until `until`. If the buffer is full, an
    /// early batch of this node is sent with a gap, and an early batch of another node is dropped: a high
    /// seq from the link does not prove that the chat has reached it.
    pub(super) fn deliver_in_order(
        &self,
        batch: Batch,
        source: Source,
        until: Instant,
    ) -> BatchOutcome {
        let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) else {
            return BatchOutcome::Delivered;
        };
        let (first, last) = (*first, *last);
        self.publish(|state| self.place(state, (first, last), batch, source, until))
    }

    /// Sends, buffers or drops a batch with these first and last seqs.
    fn place(
        &self,
        state: &mut RoomState,
        (first, last): (Seq, Seq),
        batch: Batch,
        source: Source,
        until: Instant,
    ) -> BatchOutcome {
        if source == Source::Local {
            state.stored = state.stored.max(last);
        }
        if state.contradicts(&batch) {
            return BatchOutcome::Contradicted;
        }
        if state.head.is_some_and(|head| last <= head) {
            return BatchOutcome::Delivered;
        }
        // Without a head the next seq is not known. A batch of this node is confirmed and sets the head.
        let early = match state.head {
            None => source == Source::Remote,
            Some(head) => first > head.next(),
        };
        if early && !state.buffer.is_full() {
            state.buffer.hold(batch, source, until);
            return BatchOutcome::Buffered;
        }
        if early && source == Source::Remote {
            return BatchOutcome::Missing;
        }
        self.send(state, Event::Changes(batch));
        self.send_ready(state);
        match early {
            true => BatchOutcome::DeliveredWithGap,
            false => BatchOutcome::Delivered,
        }
    }

    /// Ends the wait of batches that are overdue at `now`. A batch of this node is sent although changes
    /// before it are missing: each socket reads the missing changes from the database. A batch of another
    /// node is dropped, because only the database can confirm it.
    pub(super) fn release_due(&self, now: Instant) -> BatchOutcome {
        self.publish(|state| {
            self.send_ready(state);
            let mut outcome = BatchOutcome::Delivered;
            while let Some((batch, source)) = state.buffer.due(now) {
                if source == Source::Remote {
                    outcome = BatchOutcome::Missing;
                    continue;
                }
                self.send(state, Event::Changes(batch));
                self.send_ready(state);
                if outcome != BatchOutcome::Missing {
                    outcome = BatchOutcome::DeliveredWithGap;
                }
            }
            outcome
        })
    }

    /// Sends the buffered batches that continue the head.
    fn send_ready(&self, state: &mut RoomState) {
        while let Some(head) = state.head
            && let Some(batch) = state.buffer.ready(head)
        {
            self.send(state, Event::Changes(batch));
        }
    }

    /// Counts and broadcasts a durable event, and moves the head.
    fn send(&self, state: &mut RoomState, event: Event) {
        let head = state.head.unwrap_or(Seq(0));
        match &event {
            Event::HeadAdvanced(stored) => {
                state.stored = state.stored.max(*stored);
                if *stored <= head {
                    return;
                }
                state.head = Some(*stored);
                state.last = None;
            }
            Event::Changes(batch) => {
                if let Some((seq, frame)) = batch.last()
                    && *seq > head
                {
                    state.head = Some(*seq);
                    state.last = Some((*seq, fingerprint(frame)));
                }
            }
            Event::Removed(_)
            | Event::RemovalReported(_)
            | Event::Closed
            | Event::Reset
            | Event::Ephemeral(_) => {}
        }
        state.count += 1;
        for line in state.lines.iter() {
            line.deliver(&event, state.count);
        }
        state.unwritten |= matches!(event, Event::Changes(_)) && !state.lines.is_empty();
        self.emit(state, event);
    }

    /// Broadcasts an ephemeral frame, which is not counted as a durable event.
    pub(super) fn broadcast_ephemeral(&self, frame: Frame) {
        let mut state = self.state();
        for line in state.lines.iter() {
            line.deliver_ephemeral(&frame);
        }
        self.emit(&mut state, Event::Ephemeral(frame));
    }

    /// Sends an event to the receivers. Without a receiver the event is dropped.
    fn emit(&self, state: &mut RoomState, event: Event) {
        state.index += 1;
        let _ = self.sender.send(Sequenced {
            count: state.count,
            index: state.index,
            event,
        });
    }

    fn state(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomState {
    /// Returns the state of a room without a history.
    fn empty() -> Self {
        Self {
            count: 0,
            index: 0,
            lines: Arc::default(),
            unwritten: false,
            head: None,
            stored: Seq(0),
            learned: Seq(0),
            last: None,
            buffer: ReorderBuffer::default(),
        }
    }

    fn remove(&mut self, line: &Arc<DirectLine>) {
        if let Some(index) = self.lines.iter().position(|other| Arc::ptr_eq(other, line)) {
            Arc::make_mut(&mut self.lines).swap_remove(index);
        }
    }

    /// Checks that the batch has a different change under the seq that was sent last. Each seq is committed
    /// and published once, so one of the two changes is false, or the database went back to an older state.
    fn contradicts(&self, batch: &Batch) -> bool {
        let Some((seq, known)) = self.last else {
            return false;
        };
        let place = batch.binary_search_by_key(&seq, |(seq, _)| *seq);
        place.is_ok_and(|place| fingerprint(&batch[place].1) != known)
    }
}

/// A hash of the frame's bytes. Used within one process only.
fn fingerprint(frame: &Frame) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(frame.text());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::LazyLock, time::Duration};

    fn batch(seqs: impl IntoIterator<Item = i64>) -> Batch {
        let frame = || Frame::from_text(b"{}");
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

    /// Delivers a batch of another node with a wait of 100 ms.
    fn deliver_in_order(channel: &Room, seqs: impl IntoIterator<Item = i64>) -> BatchOutcome {
        channel.deliver_in_order(batch(seqs), Source::Remote, later(100))
    }

    /// Delivers a batch of this node with a wait of `ms` milliseconds.
    fn own(channel: &Room, seqs: impl IntoIterator<Item = i64>, ms: u64) -> BatchOutcome {
        channel.deliver_in_order(batch(seqs), Source::Local, later(ms))
    }

    #[test]
    fn batches_out_of_order_are_reordered() {
        let channel = Room::default();
        let mut receiver = channel.subscribe().receiver;
        assert_eq!(deliver_in_order(&channel, [5]), BatchOutcome::Buffered);
        assert_eq!(channel.observe_head(Seq(4)), Seq(4));
        assert_eq!(deliver_in_order(&channel, [9]), BatchOutcome::Buffered);
        assert_eq!(deliver_in_order(&channel, [7, 8]), BatchOutcome::Buffered);
        assert_eq!(heard(&mut receiver), [5]);
        assert_eq!(deliver_in_order(&channel, [6]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [6, 7, 8, 9]);
        assert_eq!(deliver_in_order(&channel, [8, 9]), BatchOutcome::Delivered);
        assert_eq!(channel.release_due(later(100)), BatchOutcome::Delivered);
        assert!(heard(&mut receiver).is_empty());
    }

    #[test]
    fn an_overdue_batch_of_this_node_is_sent_with_a_gap() {
        let channel = Room::default();
        let mut receiver = channel.subscribe().receiver;
        own(&channel, [1], 100);
        assert_eq!(own(&channel, [3], 100), BatchOutcome::Buffered);
        assert_eq!(
            channel.release_due(later(100)),
            BatchOutcome::DeliveredWithGap
        );
        assert_eq!(deliver_in_order(&channel, [2]), BatchOutcome::Delivered);
        assert_eq!(deliver_in_order(&channel, [4]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [1, 3, 4]);
        assert_eq!(deliver_in_order(&channel, [6]), BatchOutcome::Buffered);
        channel.broadcast(Event::HeadAdvanced(Seq(6)));
        assert_eq!(deliver_in_order(&channel, [7]), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [7]);
    }

    #[test]
    fn an_overdue_batch_of_another_node_is_dropped() {
        let channel = Room::default();
        let mut receiver = channel.subscribe().receiver;
        channel.observe_head(Seq(1));
        assert_eq!(
            deliver_in_order(&channel, [1_000_000]),
            BatchOutcome::Buffered
        );
        assert_eq!(channel.release_due(later(100)), BatchOutcome::Missing);
        assert_eq!((channel.head(), channel.stored()), (Seq(1), Seq(1)));
        assert_eq!(own(&channel, [2], 100), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [2]);
    }

    #[test]
    fn two_changes_of_one_seq_are_a_contradiction() {
        let channel = Room::default();
        let one = |text: &'static str| -> Batch {
            let frame = Frame::from_text(text.as_bytes());
            vec![(Seq(2), frame)].into()
        };
        channel.observe_head(Seq(1));
        let heard = channel.deliver_in_order(one("a"), Source::Remote, later(100));
        assert_eq!(heard, BatchOutcome::Delivered);
        let again = channel.deliver_in_order(one("a"), Source::Remote, later(100));
        assert_eq!(again, BatchOutcome::Delivered);
        let other = channel.deliver_in_order(one("b"), Source::Local, later(100));
        assert_eq!(other, BatchOutcome::Contradicted);
        channel.reset();
        assert_eq!((channel.head(), channel.stored()), (Seq(0), Seq(0)));
    }

    #[test]
    fn an_early_release_leaves_later_batches_buffered() {
        let channel = Room::default();
        let mut receiver = channel.subscribe().receiver;
        own(&channel, [1], 100);
        assert_eq!(own(&channel, [3], 100), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [2], 100), BatchOutcome::Delivered);
        // The release of batch 3 is still scheduled when batch 5 arrives. It must not release batch 5
        // early.
        assert_eq!(own(&channel, [5], 150), BatchOutcome::Buffered);
        assert_eq!(channel.release_due(later(100)), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [1, 2, 3]);
        assert_eq!(own(&channel, [4], 100), BatchOutcome::Delivered);
        assert_eq!(heard(&mut receiver), [4, 5]);
        // An overdue batch takes earlier batches along.
        assert_eq!(own(&channel, [9], 100), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [7], 150), BatchOutcome::Buffered);
        assert_eq!(own(&channel, [11], 150), BatchOutcome::Buffered);
        assert_eq!(
            channel.release_due(later(100)),
            BatchOutcome::DeliveredWithGap
        );
        assert_eq!(heard(&mut receiver), [7, 9]);
        assert_eq!(
            channel.release_due(later(150)),
            BatchOutcome::DeliveredWithGap
        );
        assert_eq!(heard(&mut receiver), [11]);
    }
}
