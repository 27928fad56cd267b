//! Many changes in one transaction: lock and read what they need, decide each on its own in memory,
//! then write all that was admitted with one statement a table.

use super::{Change, MessageRef, Outcome, decide::Decision, writer::BATCH_BYTES};
use crate::{
    error::Error,
    model::{ChatId, ClientMessageId, Message, MessageId, Role, Seq, Timestamp, UserId},
    protocol,
    repository::{Head, IdempotencyKey, MessageLogTransaction, NewMessage},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a batch does, decided and written but not committed.
pub(super) struct BatchResult {
    /// What to answer, in the order of the changes.
    pub(super) answers: Vec<Result<Outcome, Error>>,
    /// What to tell each chat, in the order of its log.
    pub(super) news: Vec<(protocol::ChangeKind, Message)>,
}

/// What the transaction has read, and what it is about to write.
#[derive(Default)]
pub(super) struct BatchState {
    pub(super) heads: HashMap<ChatId, Seq>,
    pub(super) names: HashMap<UserId, String>,
    pub(super) roles: HashMap<(UserId, ChatId), Role>,
    pub(super) messages: HashMap<MessageId, Message>,
    pub(super) latest: HashMap<(UserId, ChatId), MessageId>,
    pub(super) known: HashMap<IdempotencyKey, MessageId>,
    pub(super) new: Vec<NewMessage>,
    pub(super) new_keys: HashMap<IdempotencyKey, usize>,
    pub(super) changed: BTreeSet<MessageId>,
    pub(super) moved: HashSet<ChatId>,
}

/// How many of the changes, from the first, can share a transaction: what stands alone does not,
/// an edit of "my latest message" must see what came before it in its chat, and all their texts
/// together are bounded.
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

/// Decides and writes the changes, in their order.
pub(super) async fn write(
    tx: &mut MessageLogTransaction,
    changes: &[Change],
) -> Result<BatchResult, Error> {
    let now = Timestamp::now();
    let mut ledger = BatchState::read(tx, changes).await?;
    #[cfg(feature = "planted-faults")]
    changes
        .iter()
        .for_each(|change| crate::failpoints::panic_at(change.bytes()));
    let verdicts: Vec<Decision> = changes
        .iter()
        .map(|change| ledger.decide(change, now))
        .collect();
    let ids = ledger.write(tx, now).await?;
    Ok(ledger.outcome(verdicts, &ids, now))
}

impl BatchState {
    async fn read(tx: &mut MessageLogTransaction, changes: &[Change]) -> Result<Self, Error> {
        let mut ledger = Self::default();
        let chats: BTreeSet<ChatId> = changes.iter().filter_map(Change::chat).collect();
        let chats: Vec<ChatId> = chats.into_iter().collect();
        for Head { chat_id, seq } in tx.lock_chats(&chats).await? {
            ledger.heads.insert(chat_id, seq);
        }
        let users: BTreeSet<UserId> = changes.iter().filter_map(Change::actor).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        if !users.is_empty() {
            for person in tx.people(&users, &chats).await? {
                if let Some((chat, role)) = person.membership() {
                    ledger.roles.insert((person.customer_id, chat), role);
                }
                ledger.names.insert(person.customer_id, person.username);
            }
        }
        ledger.read_keys(tx, changes).await?;
        ledger.read_messages(tx, changes).await?;
        Ok(ledger)
    }

    /// Which of the senders' own names are used already.
    async fn read_keys(
        &mut self,
        tx: &mut MessageLogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let keys: Vec<IdempotencyKey> = changes.iter().filter_map(keyed).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for message in tx.duplicates(&keys).await? {
            if let Some(keyed) = stored_key(&message) {
                self.known.insert(keyed, message.message_id);
            }
            self.messages.insert(message.message_id, message);
        }
        Ok(())
    }

    /// The messages that are edited, deleted or answered.
    async fn read_messages(
        &mut self,
        tx: &mut MessageLogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        for change in changes {
            match change {
                Change::Send { chat, reply_to, .. } => ids.extend(reply_to.map(|id| (*chat, id))),
                Change::Edit {
                    which: MessageRef::Message(id),
                    chat,
                    ..
                }
                | Change::Delete {
                    message: id, chat, ..
                } => {
                    ids.insert((*chat, *id));
                }
                Change::Edit {
                    which: MessageRef::LatestOf(user),
                    chat,
                    ..
                } => {
                    if let Some(id) = tx.latest(*user, *chat).await? {
                        self.latest.insert((*user, *chat), id);
                        ids.insert((*chat, id));
                    }
                }
                Change::DeleteUser { .. }
                | Change::DeleteChat { .. }
                | Change::RemoveMember { .. } => {}
            }
        }
        let ids: Vec<(ChatId, MessageId)> = ids.into_iter().collect();
        if !ids.is_empty() {
            for message in tx.messages(&ids).await? {
                self.messages.insert(message.message_id, message);
            }
        }
        Ok(())
    }

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

    /// The heads that moved, by chat.
    fn moved_heads(&self) -> Vec<Head> {
        let head = |&chat_id| {
            let seq = *self.heads.get(&chat_id)?;
            Some(Head { chat_id, seq })
        };
        let mut heads: Vec<Head> = self.moved.iter().filter_map(head).collect();
        heads.sort_unstable_by_key(|head| head.chat_id);
        heads
    }

    fn outcome(&self, verdicts: Vec<Decision>, ids: &[MessageId], now: Timestamp) -> BatchResult {
        let sent: Vec<Message> = self
            .new
            .iter()
            .zip(ids)
            .map(|(new, id)| new.stored(*id, self.names.get(&new.author).cloned(), now))
            .collect();
        let mut news = Vec::with_capacity(verdicts.len());
        let answers = verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Decision::Refused(error) => Err(error),
                Decision::Duplicate(message) => Ok(Outcome::Duplicate(message)),
                Decision::DuplicateInBatch(place) => answer(&sent, place).map(Outcome::Duplicate),
                Decision::New(place) => {
                    let message = answer(&sent, place)?;
                    news.push((protocol::ChangeKind::Sent, (*message).clone()));
                    Ok(Outcome::Message(message))
                }
                Decision::Changed(change, message) => {
                    news.push((change, (*message).clone()));
                    Ok(Outcome::Message(message))
                }
            })
            .collect();
        BatchResult { answers, news }
    }
}

fn answer(sent: &[Message], place: usize) -> Result<Box<Message>, Error> {
    let message = sent
        .get(place)
        .ok_or_else(|| Error::internal("fewer ids than rows"))?;
    Ok(Box::new(message.clone()))
}

fn keyed(change: &Change) -> Option<IdempotencyKey> {
    match change {
        Change::Send {
            author,
            chat,
            key: Some(key),
            ..
        } => Some(IdempotencyKey {
            chat: *chat,
            author: *author,
            key: key.clone(),
        }),
        _ => None,
    }
}

fn stored_key(message: &Message) -> Option<IdempotencyKey> {
    let key = ClientMessageId::parse(message.client_message_id.clone()?).ok()?;
    Some(IdempotencyKey {
        chat: message.chat_id,
        author: message.customer_id?,
        key,
    })
}
