//! The chats that this node has changed, for the search index, which follows the log.

use super::Hub;
use crate::model::ChatId;
use std::{
    collections::BTreeSet,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The most chats that are remembered. The index reads them every half second; more chats change in this time on no
/// single node.
const LIMIT: usize = 10_000;

/// The chats with a change that this node has committed, and that the search index has not taken yet.
#[derive(Default)]
pub(super) struct ChangedChats {
    /// A std lock: held for one insertion, and never across an await.
    noted: Mutex<Noted>,
    /// Notified when a chat is noted.
    changed: Notify,
}

/// The noted chats.
#[derive(Debug, Default)]
pub struct Noted {
    /// The changed chats.
    pub chats: BTreeSet<ChatId>,
    /// True if more chats have changed than are remembered. The index then compares all chats.
    pub is_incomplete: bool,
}

impl ChangedChats {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change of a chat.
    pub(super) fn note(&self, chat: ChatId) {
        let mut noted = self.lock();
        if noted.chats.len() < LIMIT {
            noted.chats.insert(chat);
        } else if !noted.chats.contains(&chat) {
            noted.is_incomplete = true;
        }
        drop(noted);
        self.changed.notify_one();
    }
}

impl Hub {
    /// Waits until a chat has changed since the last `take_changed`.
    pub async fn chat_changed(&self) {
        loop {
            if !self.0.changed.lock().chats.is_empty() {
                return;
            }
            self.0.changed.changed.notified().await;
        }
    }

    /// Takes the chats that have changed since the last call.
    #[must_use]
    pub fn take_changed(&self) -> Noted {
        mem::take(&mut *self.0.changed.lock())
    }

    /// The number of changed chats that were not taken yet.
    #[must_use]
    pub fn changed_chats(&self) -> usize {
        self.0.changed.lock().chats.len()
    }
}
