//! The identity of a file: its device and inode numbers. It shows that a path leads to another file.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

/// The identity of the database file at the time of its opening. A file that is removed or replaced while
/// a server has it open still takes writes, but no later start finds these writes.
#[derive(Clone)]
pub(super) struct SameFile {
    path: Arc<Path>,
    /// The device and inode numbers. `None` if the file did not exist.
    recorded: Option<(u64, u64)>,
}

impl SameFile {
    /// Records the file at `path`. The file is not opened, because closing it would release SQLite's
    /// locks on it.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            recorded: identity(path),
        }
    }

    /// Checks that the path still leads to the recorded file.
    ///
    /// # Errors
    /// `NotFound` if the file was removed or replaced.
    pub(super) fn check(&self) -> io::Result<()> {
        match identity(&self.path) == self.recorded {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the database file was removed or replaced while the server has it open; stop the server",
            )),
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().as_ref().map(identity_of)
}

/// Returns the device and inode numbers of a file.
pub fn identity_of(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
