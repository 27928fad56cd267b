//! Many changes in one transaction: lock and read what they need, decide each on its own in memory,
//! then write all that was admitted with one statement a table.

use super::change::{Answer, Change, Which};
use crate::{
    error::Error,
    model::{ChatId, ClientMessageId, Content, Message, MessageId, Role, Seq, Timestamp, UserId},
    protocol,
    repository::{Head, Keyed, LogTransaction, NewMessage},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a batch does, decided and written but not committed.
pub(super) struct Outcome {
    /// What to answer, in the order of the changes.
    pub(super) answers: Vec<Result<Answer, Error>>,
    /// What to tell each chat, in the order of its log.
    pub(super) news: Vec<(protocol::Change, Message)>,
}

/// What one change comes to.
enum Verdict {
    Refused(Error),
    /// A new message: its place among the new ones.
    New(usize),
    /// A name used before in this very batch: the place of the message it names.
    NewAgain(usize),
    /// A name used before.
    Again(Box<Message>),
    Changed(protocol::Change, Box<Message>),
}

/// What the transaction has read, and what it is about to write.
#[derive(Default)]
struct Ledger {
    heads: HashMap<ChatId, Seq>,
    names: HashMap<UserId, String>,
    roles: HashMap<(UserId, ChatId), Role>,
    messages: HashMap<MessageId, Message>,
    latest: HashMap<(UserId, ChatId), MessageId>,
    known: HashMap<Keyed, MessageId>,
    new: Vec<NewMessage>,
    new_keys: HashMap<Keyed, usize>,
    changed: BTreeSet<MessageId>,
    moved: HashSet<ChatId>,
}

/// How many of the changes, from the first, can share a transaction: what stands alone does not,
/// and an edit of "my latest message" must see what came before it in its chat.
pub(super) fn prefix<'a>(changes: impl Iterator<Item = &'a Change>) -> usize {
    let mut chats = HashSet::new();
    changes
        .take_while(|change| {
            let Some(chat) = change.chat() else {
                return false;
            };
            let new = chats.insert(chat);
            let latest = matches!(
                change,
                Change::Edit {
                    which: Which::LatestOf(_),
                    ..
                }
            );
            new || !latest
        })
        .count()
}

/// Decides and writes the changes, in their order.
pub(super) async fn write(tx: &mut LogTransaction, changes: &[Change]) -> Result<Outcome, Error> {
    let now = Timestamp::now();
    let mut ledger = Ledger::read(tx, changes).await?;
    let verdicts: Vec<Verdict> = changes
        .iter()
        .map(|change| ledger.decide(change, now))
        .collect();
    let ids = ledger.write(tx, now).await?;
    Ok(ledger.outcome(verdicts, &ids, now))
}

impl Ledger {
    async fn read(tx: &mut LogTransaction, changes: &[Change]) -> Result<Self, Error> {
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
        tx: &mut LogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let keys: Vec<Keyed> = changes.iter().filter_map(keyed).collect();
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
        tx: &mut LogTransaction,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mut ids = BTreeSet::new();
        for change in changes {
            match change {
                Change::Send { reply_to, .. } => ids.extend(*reply_to),
                Change::Edit {
                    which: Which::Message(id),
                    ..
                }
                | Change::Delete { message: id, .. } => {
                    ids.insert(*id);
                }
                Change::Edit {
                    which: Which::LatestOf(user),
                    chat,
                    ..
                } => {
                    if let Some(id) = tx.latest(*user, *chat).await? {
                        self.latest.insert((*user, *chat), id);
                        ids.insert(id);
                    }
                }
                Change::DeleteUser(_) | Change::DeleteChat(_) => {}
            }
        }
        let ids: Vec<MessageId> = ids.into_iter().collect();
        if !ids.is_empty() {
            for message in tx.messages(&ids).await? {
                self.messages.insert(message.message_id, message);
            }
        }
        Ok(())
    }

    fn decide(&mut self, change: &Change, now: Timestamp) -> Verdict {
        let decided = match change {
            Change::Send {
                author,
                chat,
                content,
                key,
                reply_to,
                ..
            } => self
                .admit(change, *chat)
                .and_then(|()| self.send(*chat, *author, content, key.as_ref(), *reply_to)),
            Change::Edit {
                actor,
                chat,
                which,
                content,
                ..
            } => self
                .admit(change, *chat)
                .and_then(|()| self.edit(*actor, *chat, *which, content, now)),
            Change::Delete {
                actor,
                chat,
                message,
                ..
            } => self
                .admit(change, *chat)
                .and_then(|()| self.delete(*actor, *chat, *message, now)),
            Change::DeleteUser(_) | Change::DeleteChat(_) => Err(Error::unavailable()),
        };
        decided.unwrap_or_else(Verdict::Refused)
    }

    /// Whether chat and actor exist, and the actor may use the chat.
    fn admit(&self, change: &Change, chat: ChatId) -> Result<(), Error> {
        if !self.heads.contains_key(&chat) {
            return Err(Error::chat_not_found(chat));
        }
        let Some(user) = change.actor() else {
            return Ok(());
        };
        if !self.names.contains_key(&user) {
            return Err(Error::user_not_found(user));
        }
        if change.caller().members_only() && !self.roles.contains_key(&(user, chat)) {
            return Err(Error::chat_not_found(chat));
        }
        Ok(())
    }

    fn send(
        &mut self,
        chat: ChatId,
        author: UserId,
        content: &Content,
        key: Option<&ClientMessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Verdict, Error> {
        let keyed = key.map(|key| Keyed {
            chat,
            author,
            key: key.clone(),
        });
        #[cfg(feature = "planted-faults")]
        let (key, keyed) = match &keyed {
            // Without the name, because the store itself would refuse it a second time.
            Some(known) if crate::planted::loses_dedupe() && self.is_known(known) => (None, None),
            _ => (key, keyed),
        };
        if let Some(keyed) = &keyed {
            if let Some(message) = self.known.get(keyed).and_then(|id| self.messages.get(id)) {
                return Ok(Verdict::Again(Box::new(message.clone())));
            }
            if let Some(&place) = self.new_keys.get(keyed) {
                return Ok(Verdict::NewAgain(place));
            }
        }
        let answered = reply_to.and_then(|id| self.messages.get(&id));
        if reply_to.is_some() && answered.is_none_or(|message| message.chat_id != chat) {
            return Err(Error::invalid_field(
                "replyTo",
                "the id of a message of the same chat",
            ));
        }
        let place = self.new.len();
        let seq = self.step(chat);
        if let Some(keyed) = keyed {
            self.new_keys.insert(keyed, place);
        }
        let (content, key) = (content.clone(), key.cloned());
        self.new.push(NewMessage {
            chat,
            author,
            content,
            seq,
            reply_to,
            key,
        });
        Ok(Verdict::New(place))
    }

    #[cfg(feature = "planted-faults")]
    fn is_known(&self, keyed: &Keyed) -> bool {
        self.known.contains_key(keyed) || self.new_keys.contains_key(keyed)
    }

    fn edit(
        &mut self,
        actor: Option<UserId>,
        chat: ChatId,
        which: Which,
        content: &Content,
        now: Timestamp,
    ) -> Result<Verdict, Error> {
        let id = match which {
            Which::Message(id) => id,
            Which::LatestOf(user) => *self.latest.get(&(user, chat)).ok_or_else(|| {
                let message = format!("User {user} has no message to edit in chat {chat}");
                Error::new(crate::error::Code::MessageNotFound, message)
            })?,
        };
        let author = self.living(id, chat)?.customer_id;
        if actor.is_some() && actor != author {
            return Err(Error::forbidden(format!(
                "Only its author edits message {id}"
            )));
        }
        let seq = self.step(chat);
        self.change(id, protocol::Change::Edited, |message| {
            message.content = Some(content.as_str().to_owned());
            message.edited_at = Some(now);
            message.seq = seq;
        })
    }

    fn delete(
        &mut self,
        actor: Option<UserId>,
        chat: ChatId,
        id: MessageId,
        now: Timestamp,
    ) -> Result<Verdict, Error> {
        let author = self.living(id, chat)?.customer_id;
        if let Some(user) = actor {
            let admin = self.roles.get(&(user, chat)) == Some(&Role::Admin);
            if author != Some(user) && !admin {
                let message = format!("Only its author or an admin of chat {chat} deletes it");
                return Err(Error::forbidden(message));
            }
        }
        let seq = self.step(chat);
        self.change(id, protocol::Change::Deleted, |message| {
            message.content = None;
            message.deleted_at = Some(now);
            message.deleted_by = actor.or(author);
            message.seq = seq;
        })
    }

    /// The message, if it is in the chat and not deleted.
    fn living(&self, id: MessageId, chat: ChatId) -> Result<&Message, Error> {
        self.messages
            .get(&id)
            .filter(|message| message.chat_id == chat && message.deleted_at.is_none())
            .ok_or_else(|| Error::message_not_found(id))
    }

    fn change(
        &mut self,
        id: MessageId,
        change: protocol::Change,
        apply: impl FnOnce(&mut Message),
    ) -> Result<Verdict, Error> {
        let message = self
            .messages
            .get_mut(&id)
            .ok_or_else(|| Error::message_not_found(id))?;
        apply(message);
        self.changed.insert(id);
        Ok(Verdict::Changed(change, Box::new(message.clone())))
    }

    /// The chat's next number.
    fn step(&mut self, chat: ChatId) -> Seq {
        self.moved.insert(chat);
        let head = self.heads.entry(chat).or_insert(Seq(0));
        *head = head.next();
        *head
    }

    async fn write(
        &self,
        tx: &mut LogTransaction,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, Error> {
        let mut ids = Vec::new();
        if !self.new.is_empty() {
            ids = tx.insert(&self.new, now).await?;
        }
        if !self.changed.is_empty() {
            let changed: Vec<Message> = self
                .changed
                .iter()
                .filter_map(|id| self.messages.get(id))
                .cloned()
                .collect();
            tx.update(&changed).await?;
        }
        let mut heads: Vec<Head> = (self.moved.iter())
            .filter_map(|&chat_id| {
                Some(Head {
                    chat_id,
                    seq: *self.heads.get(&chat_id)?,
                })
            })
            .collect();
        if !heads.is_empty() {
            heads.sort_unstable_by_key(|head| head.chat_id);
            tx.advance(&heads).await?;
        }
        Ok(ids)
    }

    fn outcome(&self, verdicts: Vec<Verdict>, ids: &[MessageId], now: Timestamp) -> Outcome {
        let sent: Vec<Message> = self
            .new
            .iter()
            .zip(ids)
            .map(|(new, id)| self.message(new, *id, now))
            .collect();
        let mut news = Vec::with_capacity(verdicts.len());
        let answers = verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Refused(error) => Err(error),
                Verdict::Again(message) => Ok(Answer::Repeated(message)),
                Verdict::NewAgain(place) => answer(&sent, place).map(Answer::Repeated),
                Verdict::New(place) => {
                    let message = answer(&sent, place)?;
                    news.push((protocol::Change::Sent, (*message).clone()));
                    Ok(Answer::Message(message))
                }
                Verdict::Changed(change, message) => {
                    news.push((change, (*message).clone()));
                    Ok(Answer::Message(message))
                }
            })
            .collect();
        Outcome { answers, news }
    }

    fn message(&self, new: &NewMessage, id: MessageId, now: Timestamp) -> Message {
        Message {
            message_id: id,
            chat_id: new.chat,
            customer_id: Some(new.author),
            username: self.names.get(&new.author).cloned(),
            content: Some(new.content.as_str().to_owned()),
            seq: new.seq,
            sent_at: now,
            edited_at: None,
            deleted_at: None,
            reply_to: new.reply_to,
            client_message_id: new.key.as_ref().map(|key| key.as_str().to_owned()),
            sent_seq: new.seq,
            deleted_by: None,
        }
    }
}

fn answer(sent: &[Message], place: usize) -> Result<Box<Message>, Error> {
    let message = sent
        .get(place)
        .ok_or_else(|| Error::internal("fewer ids than rows"))?;
    Ok(Box::new(message.clone()))
}

fn keyed(change: &Change) -> Option<Keyed> {
    match change {
        Change::Send {
            author,
            chat,
            key: Some(key),
            ..
        } => Some(Keyed {
            chat: *chat,
            author: *author,
            key: key.clone(),
        }),
        _ => None,
    }
}

fn stored_key(message: &Message) -> Option<Keyed> {
    let key = ClientMessageId::parse(message.client_message_id.clone()?).ok()?;
    Some(Keyed {
        chat: message.chat_id,
        author: message.customer_id?,
        key,
    })
}
