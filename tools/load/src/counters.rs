//! The counters of a load, shared by all its clients, which run on one thread.

use super::marker::Marker;
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// The size of the read buffer, in bytes. All clients share one buffer: a waiting client holds only the
/// beginning of an incomplete frame.
const READ_BUFFER: usize = 64 * 1024;

/// The counters.
pub struct Counters {
    /// The start of the load, from which the times in markers count.
    begin: Instant,
    /// The read buffer of all clients.
    pub read_buffer: RefCell<Box<[u8]>>,
    /// True if a sender sends again when its own message comes back.
    pub going: Cell<bool>,
    /// Messages that were sent.
    pub sent: Cell<u64>,
    /// Messages received, counted once per receiver.
    pub delivered: Cell<u64>,
    /// Received messages without the expected number: duplicates, reordered messages, and messages that
    /// follow a lost one of their sender.
    pub out_of_turn: Cell<u64>,
    /// Received messages of a chat that the receiver is not in.
    pub misdelivered: Cell<u64>,
    /// Connections that the server ended.
    pub ended: Cell<u64>,
    /// The first error that the server sent.
    pub error: RefCell<Option<String>>,
    /// The time of the latest read.
    pub last: Cell<Instant>,
    /// Microseconds from send to receipt of every delivery.
    pub latencies: RefCell<Vec<u32>>,
}

impl Counters {
    /// Returns counters at zero.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            going: Cell::new(false),
            sent: Cell::new(0),
            delivered: Cell::new(0),
            out_of_turn: Cell::new(0),
            misdelivered: Cell::new(0),
            ended: Cell::new(0),
            error: RefCell::new(None),
            last: Cell::new(now),
            latencies: RefCell::new(Vec::new()),
        }
    }

    /// Microseconds from the start of the load, as in the markers.
    pub fn micros(&self, at: Instant) -> u32 {
        u32::try_from(at.saturating_duration_since(self.begin).as_micros()).unwrap_or(u32::MAX)
    }

    /// Counts a message that a member of `chat` received at `now`. `next` is the number expected from
    /// its sender, or `None` if the chat has no such sender.
    pub fn count(&self, marker: Marker, chat: u16, next: Option<&mut u32>, now: u32) {
        self.delivered.set(self.delivered.get() + 1);
        match next {
            Some(next) if marker.chat == chat => {
                if marker.number != *next {
                    self.out_of_turn.set(self.out_of_turn.get() + 1);
                }
                *next = marker.number + 1;
            }
            _ => self.misdelivered.set(self.misdelivered.get() + 1),
        }
        let latency = now.saturating_sub(marker.micros);
        self.latencies.borrow_mut().push(latency);
    }

    /// Waits until nothing has arrived for `pause`.
    pub async fn quiet(&self, pause: Duration) {
        while let Some(left) = pause.checked_sub(self.last.get().elapsed()) {
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }

    /// Checks that the server sent no error and ended no connection.
    pub fn check_connections(&self) -> Result<(), String> {
        match (&*self.error.borrow(), self.ended.get()) {
            (None, 0) => Ok(()),
            (Some(error), _) => Err(format!("the server sent an error: {error}")),
            (None, ended) => Err(format!("the server ended {ended} connections")),
        }
    }

    /// Checks that no message was lost, duplicated, reordered, refused or sent to a wrong chat, if
    /// every message has this many receivers.
    pub fn check(&self, receivers: u64) -> Result<(), String> {
        self.check_connections()?;
        let (sent, delivered) = (self.sent.get(), self.delivered.get());
        if sent == 0 {
            return Err("nothing was sent, so nothing was measured".to_owned());
        }
        let wrong = [
            ("lost", (sent * receivers).saturating_sub(delivered)),
            ("too many", delivered.saturating_sub(sent * receivers)),
            ("doubled or out of order", self.out_of_turn.get()),
            ("in a wrong chat", self.misdelivered.get()),
        ];
        let wrong: Vec<String> = wrong
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "of {sent} messages to {receivers} each: {}",
                wrong.join(", ")
            )),
        }
    }
}
