//! A backup of the database that is made while the clients work, and restored later.

use crate::{
    record::{ChatId, Seq},
    rest::Rest,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};
use tokio::time::Instant;

/// A finished backup.
pub struct Backup {
    /// A file of `export`, or a folder with copies of SQLite's files.
    pub path: PathBuf,
    pub is_copy: bool,
    /// The minimum head of each chat in the backup: the seq of a change that was stored before it
    /// began.
    pub heads: BTreeMap<ChatId, Seq>,
}

/// A planned backup.
pub struct Plan {
    pub due: Instant,
    pub rest: Rest,
    pub chats: Vec<ChatId>,
}

impl Plan {
    /// The seq of a stored change of each chat: that of its newest message.
    pub async fn heads(&self) -> BTreeMap<ChatId, Seq> {
        let mut heads = BTreeMap::new();
        for &chat in &self.chats {
            let seq = self.rest.newest(chat).await;
            heads.insert(chat, seq.unwrap_or(0));
        }
        heads
    }
}

/// Copies the files of an SQLite database from one folder into another, and replaces the files that are
/// there. No process may have the database open.
pub fn copy_files(from: &Path, to: &Path) -> Result<(), String> {
    let copy = |name: &str| -> Result<(), Error> {
        let (from, to) = (from.join(name), to.join(name));
        match fs::remove_file(&to) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match fs::copy(from, to) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    };
    fs::create_dir_all(to).map_err(|e| format!("cannot make {}: {e}", to.display()))?;
    for name in ["messaging.db", "messaging.db-wal", "messaging.db-shm"] {
        copy(name).map_err(|e| format!("cannot copy {name} to {}: {e}", to.display()))?;
    }
    Ok(())
}
