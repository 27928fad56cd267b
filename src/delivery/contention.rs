//! The worker's handling of chats with a row lock that another node holds: that node froze or lost its connection
//! in the middle of a transaction. Postgres ends the transaction after 5 s
//! (`idle_in_transaction_session_timeout`). Until then, changes of other chats do not wait for the lock, and
//! changes of the locked chats are refused at once.

use super::{
    Change, Outcome,
    worker::{CommitError, LockWait, Worker, refuse_all},
    writer::COMMIT_LIMIT,
};
use crate::{error::Error, model::ChatId};
use std::collections::{BTreeMap, HashSet};
use tokio::time::{self, Duration, Instant};

/// The total time that a batch waits for its locked chats, once its unlocked chats are stored. With the wait
/// for the batch itself, every sender is still answered within 5 s.
const WAIT: Duration = Duration::from_millis(500);

/// A part of a batch: some of its changes, with their indexes in the batch.
#[derive(Default)]
struct Share {
    indexes: Vec<usize>,
    changes: Vec<Change>,
}

impl Share {
    fn add(&mut self, index: usize, change: &Change) {
        self.indexes.push(index);
        self.changes.push(change.clone());
    }
}

impl Worker {
    /// Whether one of the changes belongs to a chat that was locked at the last attempt.
    pub(super) fn has_blocked_chat(&self, changes: &[Change]) -> bool {
        let mut chats = changes.iter().filter_map(Change::chat);
        !self.blocked.is_empty() && chats.any(|chat| self.blocked.contains(&chat))
    }

    /// Commits the changes of all unlocked chats in one transaction, then those of each locked chat in its
    /// own transaction. Each transaction has a short lock timeout. A chat that is still locked is remembered:
    /// its changes are refused without an attempt until it is found unlocked. Locked chats that are not
    /// reached within `WAIT` are refused too.
    pub(super) async fn commit_unlocked_first(
        &mut self,
        changes: &[Change],
    ) -> Vec<Result<Outcome, Error>> {
        let chats: HashSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        let reading = self.database.message_log().unlocked(&chats);
        let reading = time::timeout(COMMIT_LIMIT, reading).await;
        let free: HashSet<ChatId> = match reading.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(free) => free.into_iter().collect(),
            Err(error) => return refuse_all(changes, &error, Error::unavailable),
        };
        self.blocked.retain(|chat| !free.contains(chat));
        let (mut unlocked_share, mut locked_shares) =
            (Share::default(), BTreeMap::<ChatId, Share>::new());
        for (index, change) in changes.iter().enumerate() {
            match change.chat() {
                Some(chat) if !free.contains(&chat) => {
                    locked_shares.entry(chat).or_default().add(index, change);
                }
                _ => unlocked_share.add(index, change),
            }
        }
        let mut answers = Vec::with_capacity(changes.len());
        if !unlocked_share.changes.is_empty() {
            let stored = self.with_short_lock_timeout(&unlocked_share.changes).await;
            answers.extend(unlocked_share.indexes.into_iter().zip(stored));
        }
        let until = Instant::now() + WAIT;
        for (chat, share) in locked_shares {
            let stored = match Instant::now() < until && !self.blocked.contains(&chat) {
                true => self.with_short_lock_timeout(&share.changes).await,
                false => share.changes.iter().map(|_| Err(busy())).collect(),
            };
            if stored
                .iter()
                .any(|answer| answer.as_ref().is_err_and(Error::is_locked))
            {
                tracing::warn!(
                    chat = chat.0,
                    "another server holds the lock of a chat: changes are refused"
                );
                self.blocked.insert(chat);
            }
            answers.extend(share.indexes.into_iter().zip(stored));
        }
        answers.sort_unstable_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Commits changes with a short lock timeout. If a lock is not free in time, the first answer carries the
    /// database's error, by which the caller recognizes the lock.
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

/// The answer to a change of a locked chat.
fn busy() -> Error {
    Error::unavailable()
}
