//! A backup of the database, made while the clients work, and brought back later.

use crate::{
    record::{ChatId, Seq},
    rest::Rest,
};
use std::{collections::BTreeMap, path::PathBuf};
use tokio::time::Instant;

/// A backup that was made.
pub struct Backup {
    pub file: PathBuf,
    /// What each chat held at least when it was made.
    pub heads: BTreeMap<ChatId, Seq>,
}

/// A backup to be made.
pub struct Plan {
    pub due: Instant,
    pub rest: Rest,
    pub chats: Vec<ChatId>,
}

impl Plan {
    /// A change of each chat that is stored by now: that of its newest message.
    pub async fn heads(&self) -> BTreeMap<ChatId, Seq> {
        let mut heads = BTreeMap::new();
        for &chat in &self.chats {
            let seq = self.rest.newest(chat).await;
            heads.insert(chat, seq.unwrap_or(0));
        }
        heads
    }
}
