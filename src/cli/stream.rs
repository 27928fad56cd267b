//! Output stream of an export: standard output, a pipe or a terminal.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Pause between attempts to open a pipe without a reader.
const READER_PAUSE: Duration = Duration::from_millis(50);

/// Maximum number of bytes per write. A pipe that is ready takes this many bytes without blocking: on Linux
/// `PIPE_BUF` is 4,096.
const AT_ONCE: usize = 4096;

/// Output of an export with a limit on the stall of its reader. The limit exists because an export holds a
/// snapshot of the database: meanwhile SQLite's log grows, and Postgres cannot remove old row versions.
pub(super) struct Stream {
    file: File,
    /// Maximum time in which the reader takes no byte.
    limit: Duration,
}

impl Stream {
    pub(super) fn new(file: File, limit: Duration) -> Self {
        Self { file, limit }
    }

    /// Opens a pipe or a terminal by its path. Waits up to `limit` for the reader of a pipe.
    pub(super) fn open(path: &Path, limit: Duration) -> io::Result<Self> {
        let until = Instant::now() + limit;
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(flags);
        loop {
            match options.open(path) {
                // The pipe has no reader. The system does not signal when a reader opens the pipe, hence
                // the polling.
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                    if Instant::now() > until {
                        return Err(unread(limit));
                    }
                    thread::sleep(READER_PAUSE);
                }
                opened => return opened.map(|file| Self::new(file, limit)),
            }
        }
    }

    /// Waits until the reader accepts bytes. Returns an error after `limit`.
    fn ready(&self) -> io::Result<()> {
        let limit = Timespec::try_from(self.limit).ok();
        let mut file = [PollFd::new(&self.file, PollFlags::OUT)];
        match poll(&mut file, limit.as_ref())? {
            0 => Err(unread(self.limit)),
            _ => Ok(()),
        }
    }
}

fn unread(limit: Duration) -> io::Error {
    let seconds = limit.as_secs();
    let why = format!(
        "the output was not read for {seconds} s (--stall-seconds); a running export keeps the \
         database from removing old rows, so export to a file, or to a faster reader"
    );
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.ready()?;
            let piece = bytes.get(..AT_ONCE).unwrap_or(bytes);
            match self.file.write(piece) {
                // Another writer filled the pipe after `ready`.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
