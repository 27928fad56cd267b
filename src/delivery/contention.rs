//! Chats whose lock is not to be had: another server stands still in the middle of a transaction on
//! them, frozen or cut off. Postgres ends that after some seconds; until then nobody else's changes
//! wait for it, and the chats' own are refused at once.

use super::{
    Change, Outcome,
    worker::{CommitError, LockWait, Worker, refuse_all},
    writer::COMMIT_LIMIT,
};
use crate::{error::Error, model::ChatId};
use std::collections::{BTreeMap, HashSet};
use tokio::time::{self, Duration, Instant};

/// How long a batch waits, in all, for the chats that somebody has locked just now, once its others
/// are stored: with the wait for the batch itself, every sender is still answered within 5 s.
const WAIT: Duration = Duration::from_millis(500);

/// Changes of a batch, with their places in it.
#[derive(Default)]
struct Share {
    places: Vec<usize>,
    changes: Vec<Change>,
}

impl Share {
    fn add(&mut self, place: usize, change: &Change) {
        self.places.push(place);
        self.changes.push(change.clone());
    }
}

impl Worker {
    /// Whether one of the changes is of a chat that was locked a moment ago.
    pub(super) fn meets_blocked(&self, changes: &[Change]) -> bool {
        let mut chats = changes.iter().filter_map(Change::chat);
        !self.blocked.is_empty() && chats.any(|chat| self.blocked.contains(&chat))
    }

    /// Stores the changes of those chats that are free together, then those of each other chat by
    /// itself, for which it waits a moment. What is still locked then is refused, and known as such
    /// from then on.
    pub(super) async fn commit_unlocked_first(
        &mut self,
        changes: &[Change],
    ) -> Vec<Result<Outcome, Error>> {
        let chats: HashSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        let looking = time::timeout(COMMIT_LIMIT, self.log.unlocked(&chats)).await;
        let free: HashSet<ChatId> = match looking.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(free) => free.into_iter().collect(),
            Err(error) => return refuse_all(changes, &error, Error::unavailable),
        };
        self.blocked.retain(|chat| !free.contains(chat));
        let (mut together, mut others) = (Share::default(), BTreeMap::<ChatId, Share>::new());
        for (place, change) in changes.iter().enumerate() {
            match change.chat() {
                Some(chat) if !free.contains(&chat) => {
                    others.entry(chat).or_default().add(place, change);
                }
                _ => together.add(place, change),
            }
        }
        let mut answers = Vec::with_capacity(changes.len());
        if !together.changes.is_empty() {
            let stored = self.with_short_lock_timeout(&together.changes).await;
            answers.extend(together.places.into_iter().zip(stored));
        }
        let until = Instant::now() + WAIT;
        for (chat, share) in others {
            let stored = match Instant::now() < until && !self.blocked.contains(&chat) {
                true => self.with_short_lock_timeout(&share.changes).await,
                false => share.changes.iter().map(|_| Err(busy())).collect(),
            };
            if stored
                .iter()
                .any(|answer| answer.as_ref().is_err_and(Error::is_locked))
            {
                tracing::warn!(chat = chat.0, "another server holds a chat's lock");
                self.blocked.insert(chat);
            }
            answers.extend(share.places.into_iter().zip(stored));
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn with_short_lock_timeout(&mut self, changes: &[Change]) -> Vec<Result<Outcome, Error>> {
        let committed = self.commit(changes, LockWait::Short).await;
        match committed {
            Err(CommitError::NotCommitted(error)) if error.is_locked() => {
                let mut answers = vec![Err(error)];
                answers.resize_with(changes.len(), || Err(busy()));
                answers
            }
            committed => self.settle(changes, committed).await,
        }
    }
}

fn busy() -> Error {
    Error::unavailable()
}
