//! Standard output, a pipe or a terminal that an export is written to.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    fs::File,
    io::{self, Write},
    time::Duration,
};

/// Bytes that a pipe or a terminal takes at once without blocking, where it is ready at all: the least
/// that `PIPE_BUF` may be on Linux, 4,096.
const AT_ONCE: usize = 4096;

/// A stream whose reader must go on: an export holds a snapshot of the database, and as long as it
/// does, SQLite's log grows and Postgres removes no row that was replaced.
pub(super) struct Stream {
    file: File,
    /// The longest time without a byte taken.
    limit: Duration,
}

impl Stream {
    pub(super) fn new(file: File, limit: Duration) -> Self {
        Self { file, limit }
    }

    /// Waits until the reader takes bytes.
    fn ready(&self) -> io::Result<()> {
        let limit = Timespec::try_from(self.limit).ok();
        let mut file = [PollFd::new(&self.file, PollFlags::OUT)];
        match poll(&mut file, limit.as_ref())? {
            0 => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "nothing read it for {} s (--stall-seconds); the database is held back \
                     meanwhile, so export to a file, or to a reader that keeps up",
                    self.limit.as_secs()
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.ready()?;
            let piece = bytes.get(..AT_ONCE).unwrap_or(bytes);
            match self.file.write(piece) {
                // Another writer was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
