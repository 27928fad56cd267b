//! The worker's handling of chats with a row lock that another node holds: that node froze or lost its connection
//! in the middle of a transaction. Postgres ends the transaction after 5 s
//! (`idle_in_transaction_session_timeout`). Until then, changes of other chats do not wait for the lock, and
//! changes of the locked chats are refused at once.

use super::{
    Answers, Change,
    batch::LockWait,
    retry::refuse_all,
    writer::{COMMIT_LIMIT, Worker},
};
use crate::{
    error::{Error, within},
    model::ChatId,
    repository::CommitError,
};
use std::collections::{BTreeMap, HashSet};
use tokio::time::{Duration, Instant};

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
    pub(super) async fn commit_unlocked_first(&mut self, changes: &[Change]) -> Answers {
        let chats: HashSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        let reading = self.database.message_log().unlocked(&chats);
        let free: HashSet<ChatId> = match within(COMMIT_LIMIT, reading).await {
            Ok(free) => free.into_iter().collect(),
            Err(error) => return refuse_all(changes, &error, Error::unavailable),
        };
        self.blocked.retain(|chat| !free.contains(chat));
        let (unlocked_share, locked_shares) = shares(changes, &free);
        let mut answers = Vec::with_capacity(changes.len());
        if !unlocked_share.changes.is_empty() {
            let stored = self.with_short_lock_timeout(&unlocked_share.changes).await;
            answers.extend(unlocked_share.indexes.into_iter().zip(stored));
        }
        let until = Instant::now() + WAIT;
        for (chat, share) in locked_shares {
            let stored = self.commit_locked(chat, &share.changes, until).await;
            answers.extend(share.indexes.into_iter().zip(stored));
        }
        answers.sort_unstable_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Tries to commit the changes of a chat that was found locked. If its lock is still held, the chat is
    /// remembered. Refuses the changes of a remembered chat, and all changes after `until`.
    async fn commit_locked(&mut self, chat: ChatId, changes: &[Change], until: Instant) -> Answers {
        if Instant::now() >= until || self.blocked.contains(&chat) {
            return changes.iter().map(|_| Err(busy())).collect();
        }
        let answers = self.with_short_lock_timeout(changes).await;
        let is_locked = |answer: &Result<_, Error>| answer.as_ref().is_err_and(Error::is_locked);
        if answers.iter().any(is_locked) {
            tracing::warn!(
                chat = chat.0,
                "another server holds the lock of a chat: changes are refused"
            );
            self.blocked.insert(chat);
        }
        answers
    }

    /// Commits changes with a short lock timeout. If a lock is not free in time, the first answer carries the
    /// database's error, by which the caller recognizes the lock.
    async fn with_short_lock_timeout(&mut self, changes: &[Change]) -> Answers {
        match self.commit(changes, LockWait::Short).await {
            Ok(answers) => answers,
            Err(CommitError::NotCommitted(error)) if error.is_locked() => {
                let mut answers = vec![Err(error)];
                answers.resize_with(changes.len(), || Err(busy()));
                answers
            }
            Err(error) => self.retry_or_refuse(changes, error).await,
        }
    }
}

/// Divides a batch into the changes of the unlocked chats and those of each locked chat. `free` has the unlocked
/// chats.
fn shares(changes: &[Change], free: &HashSet<ChatId>) -> (Share, BTreeMap<ChatId, Share>) {
    let (mut unlocked, mut locked) = (Share::default(), BTreeMap::<ChatId, Share>::new());
    for (index, change) in changes.iter().enumerate() {
        match change.chat() {
            Some(chat) if !free.contains(&chat) => {
                locked.entry(chat).or_default().add(index, change);
            }
            _ => unlocked.add(index, change),
        }
    }
    (unlocked, locked)
}

/// The answer to a change of a locked chat.
fn busy() -> Error {
    Error::unavailable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Caller, model::MessageId};

    #[test]
    fn each_locked_chat_has_a_share_of_its_own() {
        let delete = |chat| Change::Delete {
            caller: Caller::Open,
            actor: None,
            chat: ChatId(chat),
            message: MessageId(1),
        };
        let changes = [1, 2, 3, 2, 1, 4].map(delete);
        let (unlocked, locked) = shares(&changes, &HashSet::from([ChatId(1), ChatId(4)]));
        assert_eq!(unlocked.indexes, [0, 4, 5]);
        let locked = locked
            .into_iter()
            .map(|(chat, share)| (chat.0, share.indexes));
        assert_eq!(Vec::from_iter(locked), [(2, vec![1, 3]), (3, vec![2])]);
    }
}
