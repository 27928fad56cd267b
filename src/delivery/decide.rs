//! Decides the changes of a batch one after the other, in memory, between the reads and the writes of
//! `batch.rs`. Each change is admitted or refused on its own, and sees the effects of the changes before it.

use super::{Change, MessageRef};
use crate::{
    error::{Code, Error},
    model::{ChatId, Content, Message, MessageId, NewMessage, Role, Seq, Timestamp, UserId},
    policy, protocol,
    repository::IdempotencyKey,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The decision about one change.
pub(super) enum Decision {
    /// The change is refused: nothing of it is written.
    Refused(Error),
    /// A new message, as its index in `BatchState::new`.
    New(usize),
    /// An idempotency key that an earlier change of this batch uses, as that message's index in
    /// `BatchState::new`.
    DuplicateInBatch(usize),
    /// The stored message that already has the idempotency key.
    Duplicate(Box<Message>),
    /// An edited or deleted message, after the change.
    Changed(protocol::ChangeKind, Box<Message>),
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

impl BatchState {
    /// Decides one change, and records in the state the rows that an admitted change writes.
    pub(super) fn decide(&mut self, change: &Change, now: Timestamp) -> Decision {
        let decided = self.admit(change).and_then(|()| match change {
            Change::Send { message, .. } => self.send(message),
            Change::Edit {
                actor,
                chat,
                which,
                content,
                ..
            } => self.edit(*actor, *chat, *which, content, now),
            Change::Delete {
                actor,
                chat,
                message,
                ..
            } => self.delete(*actor, *chat, *message, now),
            Change::DeleteUser { .. } | Change::DeleteChat { .. } | Change::RemoveMember { .. } => {
                Err(Error::unavailable())
            }
        });
        decided.unwrap_or_else(Decision::Refused)
    }

    /// Checks that the chat and the acting user exist, and that the caller may use the chat. `Ok` for a
    /// change without an acting user. `unavailable` for an exclusive change, which has no place in a batch.
    fn admit(&self, change: &Change) -> Result<(), Error> {
        let chat = change.chat().ok_or_else(Error::unavailable)?;
        if !self.heads.contains_key(&chat) {
            return Err(Error::chat_not_found(chat));
        }
        let Some(user) = change.actor() else {
            return Ok(());
        };
        if !self.names.contains_key(&user) {
            return Err(Error::user_not_found(user));
        }
        let role = self.roles.get(&(user, chat)).copied();
        policy::see_chat(change.caller(), role, chat)
    }

    /// Adds a new message, unless its idempotency key is already used.
    fn send(&mut self, message: &NewMessage) -> Result<Decision, Error> {
        let key = IdempotencyKey::of(message);
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::loses_dedupe() && key.as_ref().is_some_and(|key| self.is_known(key)) {
            // The message is sent without its key, because the database's unique constraint would refuse a
            // duplicate.
            return self.send(&NewMessage {
                client_message_id: None,
                ..message.clone()
            });
        }
        if let Some(key) = &key {
            if let Some(stored) = self.known.get(key).and_then(|id| self.messages.get(id)) {
                return Ok(Decision::Duplicate(Box::new(stored.clone())));
            }
            if let Some(&index) = self.new_keys.get(key) {
                return Ok(Decision::DuplicateInBatch(index));
            }
        }
        if let Some(id) = message.reply_to {
            self.check_reply(id, message.chat)?;
        }
        let index = self.new.len();
        let seq = self.next_seq(message.chat);
        if let Some(key) = key {
            self.new_keys.insert(key, index);
        }
        self.new.push((seq, message.clone()));
        Ok(Decision::New(index))
    }

    /// Checks that the message to reply to is in the chat. A deleted message may be replied to.
    fn check_reply(&self, id: MessageId, chat: ChatId) -> Result<(), Error> {
        let replied_to = self.messages.get(&id);
        match replied_to.is_some_and(|message| message.chat_id == chat) {
            true => Ok(()),
            false => Err(Error::invalid_field(
                "replyTo",
                "the id of a message of the same chat",
            )),
        }
    }

    /// Whether a stored message or an earlier change of this batch has the idempotency key.
    #[cfg(feature = "planted-faults")]
    fn is_known(&self, key: &IdempotencyKey) -> bool {
        self.known.contains_key(key) || self.new_keys.contains_key(key)
    }

    fn edit(
        &mut self,
        actor: Option<UserId>,
        chat: ChatId,
        which: MessageRef,
        content: &Content,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let id = match which {
            MessageRef::Message(id) => id,
            MessageRef::LatestOf(user) => *self.latest.get(&(user, chat)).ok_or_else(|| {
                let message = format!("User {user} has no message to edit in chat {chat}");
                Error::new(Code::MessageNotFound, message)
            })?,
        };
        let author = self.live_message(id, chat)?.customer_id;
        policy::edit_message(actor, author, id)?;
        let seq = self.next_seq(chat);
        self.change(id, protocol::ChangeKind::Edited, |message| {
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
    ) -> Result<Decision, Error> {
        let author = self.live_message(id, chat)?.customer_id;
        let role = actor.and_then(|user| self.roles.get(&(user, chat)).copied());
        policy::delete_message(actor, author, role, chat)?;
        let seq = self.next_seq(chat);
        self.change(id, protocol::ChangeKind::Deleted, |message| {
            message.content = None;
            message.deleted_at = Some(now);
            message.deleted_by = actor.or(author);
            message.seq = seq;
        })
    }

    /// The message, if it is in the chat and not deleted.
    ///
    /// # Errors
    /// `message_not_found` otherwise.
    fn live_message(&self, id: MessageId, chat: ChatId) -> Result<&Message, Error> {
        self.messages
            .get(&id)
            .filter(|message| message.chat_id == chat && message.deleted_at.is_none())
            .ok_or_else(|| Error::message_not_found(id))
    }

    /// Applies an edit or a deletion to the message in memory, and marks the message for the update.
    fn change(
        &mut self,
        id: MessageId,
        change: protocol::ChangeKind,
        apply: impl FnOnce(&mut Message),
    ) -> Result<Decision, Error> {
        let message = self
            .messages
            .get_mut(&id)
            .ok_or_else(|| Error::message_not_found(id))?;
        apply(message);
        self.changed.insert(id);
        Ok(Decision::Changed(change, Box::new(message.clone())))
    }

    /// Takes the chat's next `seq`, which becomes its head.
    fn next_seq(&mut self, chat: ChatId) -> Seq {
        self.advanced.insert(chat);
        let head = self.heads.entry(chat).or_insert(Seq(0));
        *head = head.next();
        *head
    }
}
