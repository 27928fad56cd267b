//! The lock file beside an SQLite database, which admits one server process.

use super::{beside, file_identity::identity_of, private};
use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// An exclusive lock on a database, held by one server process. SQLite itself admits several processes.
/// Two servers on one file would both number the changes of a chat, and neither would receive the events
/// of the other.
pub(crate) struct LockFile {
    /// The open lock file. Its lock ends with `release` or with the process.
    file: File,
    name: PathBuf,
    /// True if this process created the file.
    created: bool,
}

impl LockFile {
    /// Acquires the lock. A missing lock file is created.
    ///
    /// # Errors
    /// A sentence: another process holds the lock, or the lock file cannot be created or locked.
    pub(super) fn take(database: &Path) -> Result<Self, String> {
        let name = name(database);
        loop {
            let opened = open(&name);
            let (file, created) =
                opened.map_err(|e| format!("cannot open the lock file {}: {e}", name.display()))?;
            match file.try_lock() {
                // A failed start of another process may have removed the file between `open` and
                // `try_lock`. Try again with the present file.
                Ok(()) if !is_at(&file, &name) => {}
                Ok(()) => {
                    return Ok(Self {
                        file,
                        name,
                        created,
                    });
                }
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

    /// Returns true if a running process holds the lock. Creates no file.
    pub(crate) fn is_taken(database: &Path) -> bool {
        match File::open(name(database)) {
            Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// Releases the lock, so that another process can open the database.
    pub(super) fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Removes the lock file if this process created it.
    pub(super) fn remove_if_made(&self) {
        if self.created {
            // A lock file that remains does no harm.
            let _ = fs::remove_file(&self.name);
        }
    }
}

/// Returns the path of the lock file of a database.
fn name(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

/// Opens or creates the file. The flag is true if the file was created.
fn open(name: &Path) -> io::Result<(File, bool)> {
    match private().create_new(true).open(name) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok((private().open(name)?, false)),
        Err(e) => Err(e),
    }
}

/// Returns true if the path `name` still leads to the open file.
fn is_at(file: &File, name: &Path) -> bool {
    match (file.metadata(), fs::metadata(name)) {
        (Ok(open), Ok(named)) => identity_of(&open) == identity_of(&named),
        _ => false,
    }
}
