//! The lock file beside an SQLite database.

use super::{beside, file_identity::identity_of, private};
use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// A lock that one process holds. SQLite itself would let a second one in, and two servers that number
/// one chat's changes would not know of each other.
pub(crate) struct LockFile {
    file: File,
    name: PathBuf,
    /// Whether the file was not there before.
    made: bool,
}

impl LockFile {
    /// Takes the lock, and makes its file where it is missing.
    ///
    /// # Errors
    /// A sentence: another process has it, or the file cannot be made.
    pub(super) fn take(database: &Path) -> Result<Self, String> {
        let name = name(database);
        loop {
            let opened = open(&name);
            let (file, made) =
                opened.map_err(|e| format!("cannot open the lock file {}: {e}", name.display()))?;
            match file.try_lock() {
                // Another start may have removed the file between its opening and its lock.
                Ok(()) if !is_at(&file, &name) => {}
                Ok(()) => return Ok(Self { file, name, made }),
                Err(TryLockError::WouldBlock) => {
                    return Err(format!(
                        "the database {} is in use by another messaging-api; \
                         stop that one, or name another file: DATABASE_URL=sqlite://PATH",
                        database.display()
                    ));
                }
                Err(TryLockError::Error(e)) => {
                    return Err(format!("cannot lock {}: {e}", name.display()));
                }
            }
        }
    }

    /// Whether a running process has the lock. No file is made.
    pub(crate) fn is_taken(database: &Path) -> bool {
        match File::open(name(database)) {
            Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// Lets other processes in.
    pub(super) fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Removes the file where it was not there before.
    pub(super) fn remove_if_made(&self) {
        if self.made {
            // A file that stays does no harm.
            let _ = fs::remove_file(&self.name);
        }
    }
}

fn name(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

/// Opens the file, and tells whether it was made for it.
fn open(name: &Path) -> io::Result<(File, bool)> {
    match private().create_new(true).open(name) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok((private().open(name)?, false)),
        Err(e) => Err(e),
    }
}

/// Whether an open file is still the one of this name.
fn is_at(file: &File, name: &Path) -> bool {
    match (file.metadata(), fs::metadata(name)) {
        (Ok(open), Ok(named)) => identity_of(&open) == identity_of(&named),
        _ => false,
    }
}
