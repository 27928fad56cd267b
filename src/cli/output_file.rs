//! Output of an export that was named by a path: a regular file, a pipe or a terminal.

use super::{backup::BUFFER, stream::Stream};
use crate::{
    backup::{self, ArchiveError},
    database::{Target, beside, identity_of},
    repository::{Counts, Snapshot},
};
use indicatif::ProgressBar;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Suffixes of the files that belong to an SQLite database: its own, SQLite's and the server's.
const DATABASE_FILES: [&str; 7] = ["", "-wal", "-shm", "-journal", ".lock", ".epoch", ".sock"];

/// Output of an export.
pub(super) enum OutputFile {
    /// Pipe or terminal. Bytes are written directly.
    Stream(Stream),
    /// Regular file. The export is renamed to `path` after it is complete, so a failure leaves an older copy
    /// unchanged.
    Regular {
        /// Final path, with links resolved.
        path: PathBuf,
        /// Path during the export: `<path>.partial`.
        partial: PathBuf,
        file: File,
    },
}

impl OutputFile {
    /// Opens the output at `path`. A link is resolved to its file. `limit` is the longest time in which the
    /// reader of a pipe or terminal may take no byte.
    ///
    /// # Errors
    /// Returns a message if `path` is a folder, a block device, a file of another user, a file of the
    /// database `source`, a dangling link, or the target of another running export.
    pub(super) fn open(path: &Path, source: &Target, limit: Duration) -> Result<Self, String> {
        let shown = path.display();
        let failed = |e: io::Error| format!("cannot write to {shown}: {e}");
        refuse_source(source, path)?;
        let path = match fs::metadata(path) {
            Ok(found) if is_stream(&found) => {
                return Stream::open(path, limit).map(Self::Stream).map_err(failed);
            }
            Ok(found) if !found.is_file() => {
                return Err(format!(
                    "{shown} is neither a file nor a pipe; name a file, or - for standard output"
                ));
            }
            Ok(found) => {
                refuse_foreign(&found, path)?;
                fs::canonicalize(path).map_err(failed)?
            }
            Err(_) if path.is_symlink() => {
                return Err(format!(
                    "{shown} is a link to a file that does not exist; name the file itself"
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(failed(error)),
        };
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = new_partial(&partial)?;
        Ok(Self::Regular {
            path,
            partial,
            file,
        })
    }

    /// Writes all data of a snapshot. On failure the partial file is removed.
    pub(super) async fn write(
        self,
        snapshot: Snapshot,
        bar: &ProgressBar,
    ) -> Result<Counts, ArchiveError> {
        let (path, partial, file) = match self {
            Self::Stream(stream) => {
                let out = BufWriter::with_capacity(BUFFER, stream);
                return backup::write(snapshot, out, |n| bar.inc(n)).await;
            }
            Self::Regular {
                path,
                partial,
                file,
            } => (path, partial, file),
        };
        let out = BufWriter::with_capacity(BUFFER, &file);
        let written = backup::write(snapshot, out, |n| bar.inc(n)).await;
        let kept = written.and_then(|counts| {
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            // The rename is durable only after the folder is synced.
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(counts)
        });
        if kept.is_err() {
            // A partial file is useless. The export's own error is returned even if the removal fails.
            let _ = fs::remove_file(&partial);
        }
        kept
    }
}

fn is_stream(found: &Metadata) -> bool {
    found.file_type().is_fifo() || found.file_type().is_char_device()
}

/// Refuses an output path that is a file of the exported database, or would be one once the file exists.
fn refuse_source(source: &Target, path: &Path) -> Result<(), String> {
    let Target::Sqlite(database) = source else {
        return Ok(());
    };
    let names = DATABASE_FILES.map(|end| beside(database, end));
    match names.iter().any(|name| is_one_file(name, path)) {
        true => Err(format!(
            "{} belongs to the database that is exported; name another file",
            path.display()
        )),
        false => Ok(()),
    }
}

/// Returns true if two paths name one file, or would name one file once it exists.
fn is_one_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => identity_of(&one) == identity_of(&other),
        (Err(_), Err(_)) => one.file_name() == other.file_name() && folder(one) == folder(other),
        _ => false,
    }
}

/// Returns the folder of a file with links resolved, or `None` if the folder does not exist.
fn folder(file: &Path) -> Option<PathBuf> {
    let above = file.parent().filter(|above| *above != Path::new(""));
    fs::canonicalize(above.unwrap_or(Path::new("."))).ok()
}

/// Refuses to replace a file of another user.
fn refuse_foreign(found: &Metadata, path: &Path) -> Result<(), String> {
    let shown = path.display();
    match found.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(format!(
            "{shown} belongs to another user; remove it first, or name another file"
        )),
    }
}

/// Creates the partial file with permissions for its owner only (mode 0600). A link at its path is replaced,
/// not followed. The file of a killed export is removed.
fn new_partial(partial: &Path) -> Result<File, String> {
    let shown = partial.display();
    let failed = |e: io::Error| format!("cannot write to {shown}: {e}");
    if let Ok(found) = fs::symlink_metadata(partial) {
        refuse_foreign(&found, partial)?;
        if found.is_file() && File::open(partial).map_err(failed)?.try_lock().is_err() {
            return Err(format!(
                "another export is writing to {shown}; wait until it ends"
            ));
        }
        fs::remove_file(partial).map_err(failed)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial)
        .map_err(failed)?;
    // The lock is held until the file is closed; a second export to this path is refused.
    file.try_lock().map_err(|e| failed(e.into()))?;
    Ok(file)
}
