//! The archive format of `export` and `import`: JSON lines, one row per line, for backups and for moves
//! between SQLite and Postgres. Equal data always produces equal bytes.
//!
//! ```text
//! {"kind":"archive","version":2}
//! {"kind":"user",…}     users, chats, memberships, messages, sessions: each table in key order
//! …
//! {"kind":"end","counts":{…},"lastIds":{…},"sha256":"…"}
//! ```
//!
//! The last line proves that the archive is complete. It holds the number of lines of each kind, the
//! last assigned id of each kind, and the SHA-256 of all bytes before the last line.

mod read;
mod write;

use crate::{
    error::{Error, sentence},
    repository::{Counts, LastIds},
};
use serde::{Deserialize, Serialize};
use std::{error::Error as _, fmt, io};

pub use read::read;
pub use write::write;

/// The version of the format that this program writes. It also reads the versions before.
const VERSION: u32 = 2;

/// The prefix that only the last line has.
const END: &str = "{\"kind\":\"end\",";

/// The first line of an archive.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "archive")]
struct FirstLine {
    version: u32,
}

/// The last line of an archive.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "end", rename_all = "camelCase")]
struct LastLine {
    /// The number of rows of each kind.
    counts: Counts,
    /// The last assigned id of each kind, also if its row is deleted.
    last_ids: LastIds,
    /// SHA-256 of all bytes before this line, in lower-case hex.
    sha256: String,
}

/// The reason why an archive was not written or not imported.
#[derive(Debug)]
pub enum ArchiveError {
    /// The database failed.
    Database(Error),
    /// The archive file could not be read or written.
    File(io::Error),
    /// The archive is incomplete or invalid, or the database cannot take it. Holds a sentence.
    Refused(String),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The reader is the operator, so the cause may be shown.
            Self::Database(error) => match error.source() {
                Some(cause) => f.write_str(&sentence(cause)),
                None => write!(f, "{error}"),
            },
            Self::File(error) => write!(f, "{error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<Error> for ArchiveError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
