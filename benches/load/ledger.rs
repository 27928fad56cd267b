//! What all clients of a load have seen, counted by the one thread that they share.

use super::marker::Marker;
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// Room for what one read brings, in bytes. One for all clients: none holds bytes while it waits,
/// but the beginning of a frame.
const READ_ROOM: usize = 64 * 1024;

/// The counters.
pub struct Ledger {
    /// What the times in the markers count from.
    begin: Instant,
    /// Where every client reads into.
    pub room: RefCell<Box<[u8]>>,
    /// Whether senders go on when one of their own comes back.
    pub going: Cell<bool>,
    /// Messages that were sent.
    pub sent: Cell<u64>,
    /// Messages that came, counted once per receiver.
    pub delivered: Cell<u64>,
    /// Those that did not follow their predecessor from the same sender: doubled, or reordered, or
    /// one before them was lost.
    pub out_of_turn: Cell<u64>,
    /// Those of a chat that the receiver is not in.
    pub astray: Cell<u64>,
    /// Connections that the server ended.
    pub ended: Cell<u64>,
    /// The first error that the server sent.
    pub error: RefCell<Option<String>>,
    /// When something last came.
    pub last: Cell<Instant>,
    /// From sending to receiving, in microseconds, for every delivery.
    pub latencies: RefCell<Vec<u32>>,
}

impl Ledger {
    /// One with nothing in it.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            room: RefCell::new(vec![0; READ_ROOM].into()),
            going: Cell::new(false),
            sent: Cell::new(0),
            delivered: Cell::new(0),
            out_of_turn: Cell::new(0),
            astray: Cell::new(0),
            ended: Cell::new(0),
            error: RefCell::new(None),
            last: Cell::new(now),
            latencies: RefCell::new(Vec::new()),
        }
    }

    /// A time as the markers have it.
    pub fn micros(&self, at: Instant) -> u32 {
        u32::try_from(at.saturating_duration_since(self.begin).as_micros()).unwrap_or(u32::MAX)
    }

    /// Counts a message that came `now` to somebody in `chat` who has `next` as the number that
    /// its sender goes on with.
    pub fn count(&self, marker: Marker, chat: u16, next: Option<&mut u32>, now: u32) {
        self.delivered.set(self.delivered.get() + 1);
        match next {
            Some(next) if marker.chat == chat => {
                if marker.number != *next {
                    self.out_of_turn.set(self.out_of_turn.get() + 1);
                }
                *next = marker.number + 1;
            }
            _ => self.astray.set(self.astray.get() + 1),
        }
        let latency = now.saturating_sub(marker.micros);
        self.latencies.borrow_mut().push(latency);
    }

    /// Waits until nothing has come for so long.
    pub async fn quiet(&self, pause: Duration) {
        while let Some(left) = pause.checked_sub(self.last.get().elapsed()) {
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }

    /// Checks that nobody was refused anything, or put out.
    pub fn check_connections(&self) -> Result<(), String> {
        match (&*self.error.borrow(), self.ended.get()) {
            (None, 0) => Ok(()),
            (Some(error), _) => Err(format!("the server sent an error: {error}")),
            (None, ended) => Err(format!("the server ended {ended} connections")),
        }
    }

    /// Checks that nothing was lost, doubled, reordered, led astray or refused, where every message
    /// has so many receivers.
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
            ("in a wrong chat", self.astray.get()),
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
