//! Direct lines: sockets that a chat's publisher writes to by itself. A socket that has every change of the
//! chat is handed its frames without waking its task. A line that cannot take a frame is cut: the socket's
//! task subscribes to the room again, and reads from the database what it missed.

use super::{
    batch::Batch,
    room::{Event, Sequenced},
};
use crate::{
    model::{Seq, UserId},
    protocol::{Audience, Frame},
    send_queue::SendQueue,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The socket behind a direct line.
#[derive(Clone)]
pub struct DirectSocket {
    /// The send queue of the socket.
    pub send_queue: Arc<SendQueue>,
    /// The user of the socket.
    pub user: UserId,
    /// The frames that the socket understands.
    pub audience: Audience,
    /// Cancelled when the user or the session ends. No frame is written afterwards.
    pub ended: CancellationToken,
}

/// The direct line of one socket to one room. The room's lock orders its events.
pub(super) struct DirectLine {
    socket: DirectSocket,
    /// A std lock, taken under the lock of the room.
    state: Mutex<LineState>,
}

struct LineState {
    /// The last change that the socket was sent.
    seen: Seq,
    /// The room's count of durable events, as of the last event that the line took.
    count: u64,
    /// True once the line takes no more events.
    cut: bool,
    /// The event that cut the line, for the socket's task. `None` if the line is not cut, or was cut because
    /// it could not take a change. Boxed, because few lines ever have one.
    cause: Option<Box<Event>>,
}

/// The position of a socket when its line was cut.
#[derive(Debug)]
pub struct LinePosition {
    /// The last change that the socket was sent.
    pub seen: Seq,
    /// The room's count of durable events, as of the last event that the line took.
    pub count: u64,
    /// The event that cut the line; `None` for a line that could not take a change.
    pub cause: Option<Sequenced>,
}

impl DirectLine {
    pub(super) fn new(socket: DirectSocket, seen: Seq, count: u64) -> Self {
        Self {
            socket,
            state: Mutex::new(LineState {
                seen,
                count,
                cut: false,
                cause: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the line takes no more events.
    pub(super) fn is_cut(&self) -> bool {
        self.state().cut
    }

    /// Cuts the line, if it is not cut yet, and returns the position of the socket. `index` is the room's
    /// number of broadcast events.
    pub(super) fn take_back(&self, index: u64) -> LinePosition {
        let mut state = self.state();
        state.cut = true;
        let count = state.count;
        let cause = state.cause.take().map(|event| Sequenced {
            count: count + 1,
            index,
            event: *event,
        });
        LinePosition {
            seen: state.seen,
            count,
            cause,
        }
    }

    /// Takes a durable event, the `count`th of the room: queues changes, which `write_out` writes to the socket, and
    /// cuts the line for an event that the socket's task must handle.
    pub(super) fn deliver(&self, event: &Event, count: u64) {
        let mut state = self.state();
        if state.cut {
            return;
        }
        let concerns = match event {
            Event::Changes(batch) => {
                if self.queue(&mut state, batch) {
                    state.count = count;
                } else {
                    state.cut = true;
                    self.socket.send_queue.call_attention();
                }
                return;
            }
            Event::HeadAdvanced(head) => *head > state.seen,
            Event::Removed(user) | Event::RemovalReported(user) => *user == self.socket.user,
            Event::Closed | Event::Reset => true,
            Event::Ephemeral(_) => return,
        };
        match concerns {
            false => state.count = count,
            true => {
                state.cut = true;
                state.cause = Some(Box::new(event.clone()));
                self.socket.send_queue.call_attention();
            }
        }
    }

    /// Writes the queued changes to the socket. Called without the lock of the room, so that a system call for each
    /// socket delays no other use of the room.
    pub(super) fn write_out(&self) {
        self.socket.send_queue.write_out();
    }

    /// Queues the changes after the last one that was sent. False if they leave a gap, or if the socket does
    /// not take them.
    fn queue(&self, state: &mut LineState, batch: &Batch) -> bool {
        let skip = batch.partition_point(|(seq, _)| *seq <= state.seen);
        let (Some((first, _)), Some((last, _))) = (batch.get(skip), batch.last()) else {
            return true;
        };
        if *first != state.seen.next() || self.socket.ended.is_cancelled() {
            return false;
        }
        let frames = batch.encoded_from(skip, self.socket.audience);
        let taken =
            frames.bytes.is_empty() || self.socket.send_queue.try_push(&frames.bytes, frames.text);
        if taken {
            state.seen = *last;
        }
        taken
    }

    /// Queues an ephemeral frame. It is lost if the client does not read. A thousand users who join a chat at
    /// once make a million frames of this kind: the socket's task writes those that came together at once.
    pub(super) fn deliver_ephemeral(&self, frame: &Frame) {
        let socket = &self.socket;
        if socket.audience.takes(frame) && !self.is_cut() && !socket.ended.is_cancelled() {
            let text = frame.text().len();
            self.socket.send_queue.try_queue(frame.encoded(), text);
        }
    }
}
