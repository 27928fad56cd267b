//! One transaction for a batch of changes: locks the chats and reads the rows that the changes need, decides
//! each change in memory (`decide.rs`), then writes the admitted changes with one statement per table. The
//! worker commits and publishes the result.

use super::{Change, MessageRef, Outcome, decide::Decision, writer::BATCH_BYTES};
use crate::{
    error::Error,
    model::{ChatId, Message, MessageId, NewMessage, Role, Seq, Timestamp, UserId},
    protocol,
    repository::{Head, IdempotencyKey, MessageLogTransaction},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The result of a batch that is written but not committed.
pub(super) struct BatchResult {
    /// The answer to each change, in the order of the changes.
    pub(super) answers: Vec<Result<Outcome, Error>>,
    /// The admitted changes to publish after the commit. Each chat's changes are in `seq` order. Empty if
    /// nothing was written.
    pub(super) events: Vec<(protocol::ChangeKind, Message)>,
}

impl BatchResult {
    /// The changes to publish, each with its kind.
    pub(super) fn events(&self) -> impl Iterator<Item = (protocol::ChangeKind, &Message)> {
        self.events.iter().map(|(kind, message)| (*kind, message))
    }
}

/// The state of a batch: the rows that its transaction has read, and the rows that it is going to write.
#[derive(Default)]
pub(super) struct BatchState {
    /// The heads of the locked chats, moved on by each decided change. A chat without an entry does not
    /// exist.
    pub(super) heads: HashMap<ChatId, Seq>,
    /// The stored names of the acting users. A user without an entry does not exist.
    pub(super) names: HashMap<UserId, String>,
    /// The roles of the acting users in the batch's chats. A pair without an entry is no membership.
    pub(super) roles: HashMap<(UserId, ChatId), Role>,
    /// The messages that are edited, deleted, replied to or already stored under an idempotency key.
    pub(super) messages: HashMap<MessageId, Message>,
    /// The latest message of each user and chat that an edit refers to with `LatestOf`.
    pub(super) latest: HashMap<(UserId, ChatId), MessageId>,
    /// The messages that are already stored under an idempotency key of this batch.
    pub(super) known: HashMap<IdempotencyKey, MessageId>,
    /// The messages to insert with their assigned `seq`, in the order of their changes.
    pub(super) new: Vec<(Seq, NewMessage)>,
    /// The index in `new` of each new message with an idempotency key.
    pub(super) new_keys: HashMap<IdempotencyKey, usize>,
    /// The messages to update: edited or deleted by this batch.
    pub(super) changed: BTreeSet<MessageId>,
    /// The chats with a new head.
    pub(super) advanced: HashSet<ChatId>,
}

/// The number of changes, counted from the first, that can share a transaction. Three things end the batch:
/// an exclusive change; an edit of a user's latest message behind another change of its chat, because the
/// edit must see the committed change; and more than `BATCH_BYTES` of text. 0 means that the first change is
/// exclusive, or that there are no changes.
pub(super) fn batchable_prefix<'a>(changes: impl Iterator<Item = &'a Change>) -> usize {
    let (mut chats, mut bytes) = (HashSet::new(), 0);
    changes
        .take_while(|change| {
            bytes += change.bytes();
            if bytes > BATCH_BYTES && !chats.is_empty() {
                return false;
            }
            let Some(chat) = change.chat() else {
                return false;
            };
            let new = chats.insert(chat);
            let latest = matches!(
                change,
                Change::Edit {
                    which: MessageRef::LatestOf(_),
                    ..
                }
            );
            new || !latest
        })
        .count()
}

/// Decides and writes the changes, in their order, in one transaction. The caller commits the transaction.
pub(super) async fn write(
    tx: &mut MessageLogTransaction,
    changes: &[Change],
) -> Result<BatchResult, Error> {
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
        for Head { chat_id, seq } in tx.lock_chats(&chats).await? {
            state.heads.insert(chat_id, seq);
        }
        let users: BTreeSet<UserId> = changes.iter().filter_map(Change::actor).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        if !users.is_empty() {
            for person in tx.authors(&users, &chats).await? {
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
            Change::DeleteUser { .. } | Change::DeleteChat { .. } | Change::RemoveMember { .. } => {
                return Ok(None);
            }
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
        let heads = self.moved_heads();
        if !self.new.is_empty() {
            return tx.append(&self.new, &heads, now).await;
        }
        if !heads.is_empty() {
            tx.advance(&heads).await?;
        }
        Ok(Vec::new())
    }

    /// The new heads, sorted by chat.
    fn moved_heads(&self) -> Vec<Head> {
        let head = |&chat_id| {
            let seq = *self.heads.get(&chat_id)?;
            Some(Head { chat_id, seq })
        };
        let mut heads: Vec<Head> = self.advanced.iter().filter_map(head).collect();
        heads.sort_unstable_by_key(|head| head.chat_id);
        heads
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
