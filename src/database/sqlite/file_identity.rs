//! The identity of a file: its device and its number there.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

/// The database file, as it was when it was opened. A file that is removed or replaced under a running
/// server still takes writes, and no later start finds them.
#[derive(Clone)]
pub(super) struct SameFile {
    path: Arc<Path>,
    /// Device and number. None if the file did not exist.
    was: Option<(u64, u64)>,
}

impl SameFile {
    /// Remembers the file that `path` names now. The file is not opened: to close it again would end SQLite's
    /// locks on it.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            was: identity(path),
        }
    }

    /// Succeeds while the path still names that file.
    pub(super) fn check(&self) -> io::Result<()> {
        match identity(&self.path) == self.was {
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

/// Device and number of a file.
pub fn identity_of(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
