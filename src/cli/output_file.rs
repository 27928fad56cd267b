//! The file that an export is written to.

use super::{backup::BUFFER, stream::Stream};
use crate::{
    backup::{self, Failure},
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

/// What SQLite and the server add to the name of a database file.
const DATABASE_FILES: [&str; 7] = ["", "-wal", "-shm", "-journal", ".lock", ".epoch", ".sock"];

/// Where an export goes.
pub(super) enum OutputFile {
    /// A pipe or a terminal, which takes bytes as they come.
    Stream(Stream),
    /// A regular file. It gets its name once it is whole, so that a failure leaves an older copy alone.
    Regular {
        /// The file, links followed.
        path: PathBuf,
        /// What is written meanwhile: beside it, `<path>.partial`.
        partial: PathBuf,
        file: File,
    },
}

impl OutputFile {
    /// Opens the place that `path` names; a link is followed to its file. `limit` is how long a pipe or a
    /// terminal may take nothing.
    ///
    /// # Errors
    /// A sentence: a folder or a device that holds data, a file of another user, the database itself, a
    /// link to nothing, or a file that another export writes.
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
                    "{shown} is a link to nothing; name the file itself"
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

    /// Writes everything that a snapshot shows.
    pub(super) async fn write(
        self,
        snapshot: Snapshot,
        bar: &ProgressBar,
    ) -> Result<Counts, Failure> {
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
            // The name lasts once the folder is stored.
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(counts)
        });
        if kept.is_err() {
            // What remains of it is of no use. That the export failed is told either way.
            let _ = fs::remove_file(&partial);
        }
        kept
    }
}

fn is_stream(found: &Metadata) -> bool {
    found.file_type().is_fifo() || found.file_type().is_char_device()
}

/// Refuses the files of the database that is read, and their names before the files exist.
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

/// Whether two paths name one file, or would once it exists.
fn is_one_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => identity_of(&one) == identity_of(&other),
        (Err(_), Err(_)) => one.file_name() == other.file_name() && folder(one) == folder(other),
        _ => false,
    }
}

/// The folder of a file, links followed. None if it does not exist.
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

/// Makes the file that is written, for its owner alone. No link in its place is followed; what an export
/// that was killed left is removed.
fn new_partial(partial: &Path) -> Result<File, String> {
    let shown = partial.display();
    let failed = |e: io::Error| format!("cannot write to {shown}: {e}");
    if let Ok(found) = fs::symlink_metadata(partial) {
        refuse_foreign(&found, partial)?;
        if found.is_file() && File::open(partial).map_err(failed)?.try_lock().is_err() {
            return Err(format!(
                "another export writes to {shown}; wait for its end"
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
    // Held until the end of the process: a second export of the same name is refused.
    file.try_lock().map_err(|e| failed(e.into()))?;
    Ok(file)
}
