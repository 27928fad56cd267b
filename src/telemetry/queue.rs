//! The queue of a server's log lines. A thread of its own writes them, so an unread pipe blocks
//! only that thread. The buffer is bounded. Lines that do not fit are dropped and counted, and one
//! line reports their number as soon as the log is read again.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait in the buffer. The thread may be writing as many again: at most 8 MiB in
/// all, about 30,000 lines.
const ROOM: usize = 4 * 1024 * 1024;
/// Bytes beyond `ROOM` that are reserved for the line that reports dropped lines.
const RESERVE: usize = 4096;
/// Capacity that an empty buffer keeps, in bytes.
const KEPT: usize = 64 * 1024;
/// Pause before the next attempt if the output is full and set to non-blocking.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// The queue. A clone shares the buffer.
#[derive(Clone)]
pub(super) struct Queue(Arc<QueueInner>);

struct QueueInner {
    state: Mutex<QueueState>,
    /// Signals that the empty buffer has received a line.
    filled: Condvar,
    /// Signals that all lines are written.
    idle: Condvar,
    /// Lines dropped since the start.
    dropped: AtomicU64,
}

#[derive(Default)]
struct QueueState {
    lines: Vec<u8>,
    /// True while the thread holds lines that are not written yet.
    writing: bool,
    /// Dropped lines that no log line has reported yet.
    unreported: u64,
    /// The thread that writes. `None` until the thread runs.
    writer: Option<ThreadId>,
}

impl Queue {
    /// Creates a queue, and starts the thread that writes its lines to `out`.
    pub(super) fn start(out: File) -> io::Result<Self> {
        let queue = Self(Arc::new(QueueInner {
            state: Mutex::default(),
            filled: Condvar::new(),
            idle: Condvar::new(),
            dropped: AtomicU64::new(0),
        }));
        let shared = queue.0.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.work(out))?;
        Ok(queue)
    }

    /// Returns the number of lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Waits until all lines are written, at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.0.lock();
        while state.writing || !state.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.idle.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        let by_writer = state.is_written_by_this_thread();
        let limit = if by_writer { ROOM + RESERVE } else { ROOM };
        if state.lines.len() + line.len() > limit {
            state.unreported += 1;
            self.0.dropped.fetch_add(1, Relaxed);
            return;
        }
        let was_empty = state.lines.is_empty();
        if by_writer {
            // The line reports a gap between the written and the waiting lines, so it goes before
            // the waiting ones.
            state.lines.splice(0..0, line.iter().copied());
        } else {
            state.lines.extend_from_slice(line);
        }
        drop(state);
        if was_empty {
            self.0.filled.notify_one();
        }
    }
}

impl QueueState {
    fn is_written_by_this_thread(&self) -> bool {
        self.writer == Some(thread::current().id())
    }
}

impl QueueInner {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut out: File) {
        self.lock().writer = Some(thread::current().id());
        let mut batch = Vec::new();
        loop {
            let unreported = self.take(&mut batch);
            match write(&mut out, &batch) {
                // The write succeeded, so the log is read again. Its reader learns of the gap.
                Ok(()) if unreported > 0 => {
                    tracing::warn!(
                        lines = unreported,
                        "log lines were dropped, because the log was not read in time"
                    );
                }
                Ok(()) => {}
                Err(lost) => {
                    self.dropped.fetch_add(lost, Relaxed);
                    self.lock().unreported += unreported + lost;
                }
            }
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }

    /// Waits for lines and takes all of them. Returns the number of dropped lines that are not
    /// reported yet.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        state.writing = false;
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
        while state.lines.is_empty() {
            let waited = self.filled.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        mem::swap(&mut state.lines, batch);
        mem::take(&mut state.unreported)
    }
}

/// Writes lines. On failure, returns the number of lines that were not written.
fn write(out: &mut File, mut lines: &[u8]) -> Result<(), u64> {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => return Err(count(lines)),
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(_) => return Err(count(lines)),
        }
    }
    Ok(())
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Write for &Queue {
    /// Queues a whole line, or drops it. The caller passes each line in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}
