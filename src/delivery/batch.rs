//! One transaction for a batch of changes: locks the chats and reads the rows that the changes need, decides
//! each change in memory (`decide.rs`), writes the admitted changes with one statement per table, commits them
//! and publishes them to the hub. A single new message needs one statement only.

use super::{
    Answers, Change, MessageRef, Outcome,
    decide::{BatchState, Decision},
    writer::{COMMIT_LIMIT, Worker},
};
use crate::{
    error::{Error, catch_panic},
    hub::Event,
    model::{ChatId, Message, MessageId, Seq, Timestamp, UserId},
    protocol::{self, Frame},
    repository::{CommitError, IdempotencyKey, MessageLogTransaction},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::time;

/// The state of the log that this node knew before a transaction began.
struct Known {
    /// The hub's generation: the number of resets of all sockets since the process started.
    generation: u64,
    /// The highest `seq` of each chat that is known to be stored.
    stored: HashMap<ChatId, Seq>,
}

/// The maximum time that a statement waits for the row lock of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockWait {
    /// The timeout of the database connection: 1.5 s on Postgres.
    Default,
    /// 250 ms on Postgres.
    Short,
}

/// The result of a batch that is written but not committed.
struct BatchResult {
    answers: Answers,
    /// The admitted changes to publish after the commit. Each chat's changes are in `seq` order. Empty if
    /// nothing was written.
    events: Vec<(protocol::ChangeKind, Message)>,
}

impl BatchResult {
    /// The changes to publish, each with its kind.
    fn events(&self) -> impl Iterator<Item = (protocol::ChangeKind, &Message)> {
        self.events.iter().map(|(kind, message)| (*kind, message))
    }
}

impl Worker {
    /// Commits the changes in one transaction, then publishes them. A single new message is first tried as
    /// one statement, which saves the round trips of a transaction.
    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
        lock_wait: LockWait,
    ) -> Result<Answers, CommitError> {
        let chats: BTreeSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let known = Known {
            generation: self.hub.generation(),
            stored: self.hub.stored(&Vec::from_iter(chats)),
        };
        // One limit for both attempts: a change that falls back to a transaction gets no extra time.
        let limit = time::Instant::now() + COMMIT_LIMIT;
        if let ([change], LockWait::Default, true) = (changes, lock_wait, allows_single_statement())
            && let Some(message) = self.try_single_send(change, limit).await?
        {
            self.publish([(protocol::ChangeKind::Sent, &*message)], &known);
            return Ok(vec![Ok(Outcome::Message(message))]);
        }
        self.commit_batch(changes, lock_wait, limit, &known).await
    }

    /// Tries to store a new message as one statement. Null if the statement declines the message, and for
    /// every other change: a transaction then decides the change.
    async fn try_single_send(
        &mut self,
        change: &Change,
        limit: time::Instant,
    ) -> Result<Option<Box<Message>>, CommitError> {
        let Change::Send { caller, message } = change else {
            return Ok(None);
        };
        let now = Timestamp::now();
        let sending = async { Ok(self.single.send(message, caller.members_only(), now).await) };
        match time::timeout_at(limit, catch_panic(sending)).await {
            Ok(Ok(sent)) => sent,
            // The statement commits by itself, perhaps before the panic or the limit.
            Ok(Err(panic)) => Err(self.single.interrupted(panic)),
            Err(_) => Err(self.single.interrupted(Error::unavailable())),
        }
    }

    /// Commits the changes in one transaction, and publishes the admitted ones. Nothing is committed if all
    /// changes are refused.
    async fn commit_batch(
        &self,
        changes: &[Change],
        lock_wait: LockWait,
        limit: time::Instant,
        known: &Known,
    ) -> Result<Answers, CommitError> {
        let mut committing = false;
        let log = self.database.message_log();
        let transaction = async {
            let mut tx = match lock_wait {
                LockWait::Default => log.begin().await?,
                LockWait::Short => log.begin_with_short_lock_timeout().await?,
            };
            let result = write(&mut tx, changes).await?;
            if !result.events.is_empty() {
                committing = true;
                #[cfg(feature = "planted-faults")]
                self.publish_before_commit(&result, known)?;
                tx.commit().await?;
            }
            Ok::<BatchResult, Error>(result)
        };
        let result = time::timeout_at(limit, catch_panic(transaction)).await;
        match result.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(result) => {
                self.publish(result.events(), known);
                Ok(result.answers)
            }
            Err(error) if committing => Err(CommitError::InDoubt(error)),
            Err(error) => Err(CommitError::NotCommitted(error)),
        }
    }

    /// Fail point: publishes the changes before their commit, and may then fail the commit.
    #[cfg(feature = "planted-faults")]
    fn publish_before_commit(&self, result: &BatchResult, known: &Known) -> Result<(), Error> {
        if crate::failpoints::broadcasts_before_commit() {
            self.publish(result.events(), known);
            if crate::failpoints::fails_this_commit() {
                return Err(Error::unavailable());
            }
        }
        Ok(())
    }

    /// Counts a committed change. Costs one atomic operation: the counters are resolved at the start.
    fn count(&self, change: protocol::ChangeKind) {
        match change {
            protocol::ChangeKind::Sent => self.metrics.sent.inc(),
            protocol::ChangeKind::Edited => self.metrics.edited.inc(),
            protocol::ChangeKind::Deleted => self.metrics.deleted.inc(),
        };
    }

    /// Publishes committed changes to the hub, each chat's as one batch. A `seq` that was known to be stored
    /// before the transaction began proves that the database went back in between; the hub then signals a
    /// contradiction.
    fn publish<'a>(
        &self,
        events: impl IntoIterator<Item = (protocol::ChangeKind, &'a Message)>,
        known: &Known,
    ) {
        let mut events = events.into_iter().peekable();
        if events.peek().is_some() {
            self.outcome.note(true);
        }
        let mut chats: BTreeMap<ChatId, Vec<(Seq, Frame)>> = BTreeMap::new();
        for (change, message) in events {
            self.count(change);
            self.hub.committed(message.chat_id, message.seq);
            if known.stored.get(&message.chat_id) >= Some(&message.seq) {
                self.hub.contradict(known.generation);
            }
            if self.hub.may_be_heard(message.chat_id) {
                let frame = Frame::changed(change, message);
                chats
                    .entry(message.chat_id)
                    .or_default()
                    .push((message.seq, frame));
            }
        }
        for (chat, frames) in chats {
            self.hub.publish(chat, Event::Changes(frames.into()));
        }
    }
}

/// Whether a single message may be sent as one statement. False for the fail points around the commit: one
/// statement has no step between its write and its commit.
#[cfg(feature = "planted-faults")]
fn allows_single_statement() -> bool {
    !crate::failpoints::broadcasts_before_commit() && !crate::failpoints::believes_failed_commits()
}

/// Without fail points, a single message may always be sent as one statement.
#[cfg(not(feature = "planted-faults"))]
const fn allows_single_statement() -> bool {
    true
}

/// Decides and writes the changes, in their order, in one transaction. The caller commits the transaction.
async fn write(tx: &mut MessageLogTransaction, changes: &[Change]) -> Result<BatchResult, Error> {
    let now = Timestamp::now();
    let mut state = BatchState::read(tx, changes).await?;
    #[cfg(feature = "planted-faults")]
    changes
        .iter()
        .for_each(|change| crate::failpoints::panic_at(change.bytes()));
    let decisions: Vec<Decision> = changes
        .iter()
        .map(|change| state.decide(change, now))
        .collect();
    let ids = state.write(tx, now).await?;
    Ok(state.outcome(decisions, &ids, now))
}

impl BatchState {
    /// Locks the chats and reads the rows that the changes need.
    async fn read(tx: &mut MessageLogTransaction, changes: &[Change]) -> Result<Self, Error> {
        let mut state = Self::default();
        let chats: BTreeSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        state.heads = tx.lock_chats(&chats).await?;
        let pair = |change: &Change| change.actor().zip(change.chat());
        let pairs: BTreeSet<(UserId, ChatId)> = changes.iter().filter_map(pair).collect();
        let pairs: Vec<(UserId, ChatId)> = pairs.into_iter().collect();
        if !pairs.is_empty() {
            for person in tx.authors(&pairs).await? {
                if let Some((chat, role)) = person.membership() {
                    state.roles.insert((person.customer_id, chat), role);
                }
                state.names.insert(person.customer_id, person.username);
            }
        }
        state.read_keys(tx, changes).await?;
        state.read_messages(tx, changes).await?;
        Ok(state)
    }

    /// Reads the messages that are already stored under the idempotency keys of the changes.
    async fn read_keys(
        &mut self,
        tx: &mut MessageLogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let key = |change: &Change| match change {
            Change::Send { message, .. } => IdempotencyKey::of(message),
            _ => None,
        };
        let keys: Vec<IdempotencyKey> = changes.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for message in tx.duplicates(&keys).await? {
            if let Some(key) = IdempotencyKey::of_stored(&message) {
                self.known.insert(key, message.message_id);
            }
            self.messages.insert(message.message_id, message);
        }
        Ok(())
    }

    /// Reads the messages that are edited, deleted or replied to.
    async fn read_messages(
        &mut self,
        tx: &mut MessageLogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        for change in changes {
            ids.extend(self.find_message_of(tx, change).await?);
        }
        let ids: Vec<(ChatId, MessageId)> = ids.into_iter().collect();
        if !ids.is_empty() {
            for message in tx.messages(&ids).await? {
                self.messages.insert(message.message_id, message);
            }
        }
        Ok(())
    }

    /// The chat and the id of the message that a change edits, deletes or replies to. Null if there is none.
    /// A user's latest message is read from the database.
    async fn find_message_of(
        &mut self,
        tx: &mut MessageLogTransaction,
        change: &Change,
    ) -> Result<Option<(ChatId, MessageId)>, Error> {
        let (chat, id) = match change {
            Change::Send { message, .. } => (message.chat, message.reply_to),
            Change::Delete { chat, message, .. } => (*chat, Some(*message)),
            Change::Edit { chat, which, .. } => match *which {
                MessageRef::Message(id) => (*chat, Some(id)),
                MessageRef::LatestOf(user) => {
                    let latest = tx.latest(user, *chat).await?;
                    self.latest.extend(latest.map(|id| ((user, *chat), id)));
                    (*chat, latest)
                }
            },
            _ => return Ok(None),
        };
        Ok(id.map(|id| (chat, id)))
    }

    /// Writes the decided changes. Returns the ids of the new messages, in the order of `new`.
    async fn write(
        &self,
        tx: &mut MessageLogTransaction,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, Error> {
        if !self.changed.is_empty() {
            let changed = self.changed.iter();
            let changed = changed.filter_map(|id| self.messages.get(id));
            let changed: Vec<Message> = changed.cloned().collect();
            tx.update(&changed).await?;
        }
        if !self.new.is_empty() {
            return tx.append(&self.new, &self.heads, now).await;
        }
        tx.advance(&self.heads).await?;
        Ok(Vec::new())
    }

    /// Turns the decisions into answers and changes to publish. `ids` are the ids of the new messages.
    fn outcome(self, decisions: Vec<Decision>, ids: &[MessageId], now: Timestamp) -> BatchResult {
        let Self { new, names, .. } = self;
        let sent: Vec<Message> = new
            .into_iter()
            .zip(ids)
            .map(|((seq, message), id)| {
                let username = names.get(&message.author).cloned();
                message.stored((*id, seq), username, now)
            })
            .collect();
        let mut events = Vec::with_capacity(decisions.len());
        let answers = decisions
            .into_iter()
            .map(|decision| match decision {
                Decision::Refused(error) => Err(error),
                Decision::Duplicate(message) => Ok(Outcome::Duplicate(message)),
                Decision::DuplicateInBatch(index) => {
                    sent_message(&sent, index).map(Outcome::Duplicate)
                }
                Decision::New(index) => {
                    let message = sent_message(&sent, index)?;
                    events.push((protocol::ChangeKind::Sent, (*message).clone()));
                    Ok(Outcome::Message(message))
                }
                Decision::Changed(change, message) => {
                    events.push((change, (*message).clone()));
                    Ok(Outcome::Message(message))
                }
            })
            .collect();
        BatchResult { answers, events }
    }
}

/// A copy of the new message at this index.
///
/// # Errors
/// `internal` if the insert returned fewer ids than rows.
fn sent_message(sent: &[Message], index: usize) -> Result<Box<Message>, Error> {
    let message = sent
        .get(index)
        .ok_or_else(|| Error::internal("fewer ids than rows"))?;
    Ok(Box::new(message.clone()))
}
