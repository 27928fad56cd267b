//! A copy of everything that is stored, as lines of JSON, one row a line, for backups and for moving
//! from one store to the other. The same data always makes the same bytes.
//!
//! ```text
//! {"kind":"archive","version":1}
//! {"kind":"user",…}     users, chats, memberships, messages, sessions: each table by its key
//! …
//! {"kind":"end","counts":{…},"lastIds":{…},"sha256":"…"}
//! ```
//!
//! The last line tells that nothing is missing: how many lines of each kind came before, which ids
//! were given last, and the SHA-256 of all bytes before it.

mod read;
mod write;

use crate::{
    error::{Error, sentence},
    repository::{Counts, LastIds},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{error::Error as _, fmt, io};

pub use read::read;
pub use write::write;

/// The present form of the lines.
const VERSION: u32 = 1;

/// How the last line begins, and no other.
const END: &str = "{\"kind\":\"end\",";

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "archive")]
struct Head {
    version: u32,
}

/// The last line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "end", rename_all = "camelCase")]
struct End {
    counts: Counts,
    last_ids: LastIds,
    sha256: String,
}

/// Why an archive was not written, or not taken.
#[derive(Debug)]
pub enum Failure {
    /// The store did not do its part.
    Database(Error),
    /// The file did not.
    File(io::Error),
    /// The archive is not whole, or not what it should be: a sentence.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Whoever reads this runs the server: the cause is for them.
            Self::Database(error) => match error.source() {
                Some(cause) => f.write_str(&sentence(cause)),
                None => write!(f, "{error}"),
            },
            Self::File(error) => write!(f, "{error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

fn hex(digest: Sha256) -> String {
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
