//! Decides the changes of a batch one after the other, in memory, between the reads and the writes of
//! `batch.rs`. Each change is admitted or refused on its own, and sees the effects of the changes before it.

use super::{Change, MessageRef};
use crate::{
    error::{Code, Error},
    model::{ChatId, Content, Message, MessageId, NewMessage, Role, Seq, Timestamp, UserId},
    policy, protocol,
    repository::{Heads, IdempotencyKey},
};
use std::collections::{BTreeSet, HashMap};

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
    /// The heads of the locked chats, moved on by each decided change. A chat that does not exist has none.
    pub(super) heads: Heads,
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
            // An exclusive change has no place in a batch.
            _ => Err(Error::unavailable()),
        });
        decided.unwrap_or_else(Decision::Refused)
    }

    /// Checks that the chat and the acting user exist, and that the caller may use the chat. `Ok` for a
    /// change without an acting user. `unavailable` for an exclusive change, which has no place in a batch.
    fn admit(&self, change: &Change) -> Result<(), Error> {
        let (Change::Send { caller, .. }
        | Change::Edit { caller, .. }
        | Change::Delete { caller, .. }) = change
        else {
            return Err(Error::unavailable());
        };
        let chat = change.chat().ok_or_else(Error::unavailable)?;
        if self.heads.get(chat).is_none() {
            return Err(Error::chat_not_found(chat));
        }
        let Some(user) = change.actor() else {
            return Ok(());
        };
        if !self.names.contains_key(&user) {
            return Err(Error::user_not_found(user));
        }
        let role = self.roles.get(&(user, chat)).copied();
        policy::see_chat(*caller, role, chat)
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
        let seq = self.next_seq(message.chat)?;
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
        let seq = self.next_seq(chat)?;
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
        let seq = self.next_seq(chat)?;
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
    ///
    /// # Errors
    /// `chat_not_found` if the chat does not exist.
    fn next_seq(&mut self, chat: ChatId) -> Result<Seq, Error> {
        let next = self.heads.next(chat);
        next.ok_or_else(|| Error::chat_not_found(chat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Caller,
        model::ClientMessageId,
        repository::{DeletionCursor, Head},
    };
    use Code::{ChatNotFound, Forbidden, InvalidField, MessageNotFound, Unavailable, UserNotFound};

    const CHAT: ChatId = ChatId(1);
    const OTHER_CHAT: ChatId = ChatId(2);
    const NO_CHAT: ChatId = ChatId(3);
    const ADMIN: UserId = UserId(1);
    const MEMBER: UserId = UserId(2);
    const STRANGER: UserId = UserId(3);
    const NO_USER: UserId = UserId(4);
    /// Messages of `MEMBER`: two in `CHAT`, of which the second is deleted, and one in `OTHER_CHAT`.
    const STORED: MessageId = MessageId(5);
    const DELETED: MessageId = MessageId(6);
    const OTHER: MessageId = MessageId(7);
    const NO_MESSAGE: MessageId = MessageId(8);

    fn text<T>(parse: impl Fn(String) -> Result<T, Error>, text: &str) -> T {
        parse(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn message(author: UserId, chat: ChatId) -> NewMessage {
        NewMessage {
            author,
            chat,
            content: text(Content::parse, "Hi"),
            client_message_id: None,
            reply_to: None,
        }
    }

    fn keyed(author: UserId, chat: ChatId, key: &str) -> NewMessage {
        NewMessage {
            client_message_id: Some(text(ClientMessageId::parse, key)),
            ..message(author, chat)
        }
    }

    fn send(caller: Caller, message: NewMessage) -> Change {
        Change::Send { caller, message }
    }

    fn edit(actor: Option<UserId>, which: MessageRef) -> Change {
        Change::Edit {
            caller: Caller::Open,
            actor,
            chat: CHAT,
            which,
            content: text(Content::parse, "Hello"),
        }
    }

    fn delete(actor: Option<UserId>, message: MessageId) -> Change {
        Change::Delete {
            caller: Caller::Open,
            actor,
            chat: CHAT,
            message,
        }
    }

    /// Two chats with the heads 10 and 20. `STORED` has the idempotency key "stored".
    fn state() -> BatchState {
        let now = Timestamp::now();
        let heads = [(CHAT, 10), (OTHER_CHAT, 20)].map(|(chat_id, seq)| Head {
            chat_id,
            seq: Seq(seq),
        });
        let mut state = BatchState {
            heads: heads.into_iter().collect(),
            ..BatchState::default()
        };
        let users = [ADMIN, MEMBER, STRANGER];
        state.names = users.map(|user| (user, format!("user {user}"))).into();
        state.roles.insert((ADMIN, CHAT), Role::Admin);
        state.roles.insert((MEMBER, CHAT), Role::Participant);
        for (id, new) in [
            (STORED, keyed(MEMBER, CHAT, "stored")),
            (DELETED, message(MEMBER, CHAT)),
            (OTHER, message(MEMBER, OTHER_CHAT)),
        ] {
            let key = IdempotencyKey::of(&new);
            state.known.extend(key.map(|key| (key, id)));
            let stored = new.stored((id, Seq(9)), None, now);
            state.messages.insert(id, stored);
        }
        if let Some(deleted) = state.messages.get_mut(&DELETED) {
            (deleted.content, deleted.deleted_at) = (None, Some(now));
        }
        state.latest.insert((MEMBER, CHAT), STORED);
        state
    }

    /// The kind of a decision, or the code of its refusal.
    fn decide(state: &mut BatchState, change: &Change) -> Result<&'static str, Code> {
        match state.decide(change, Timestamp::now()) {
            Decision::Refused(error) => Err(error.code()),
            Decision::New(_) => Ok("new"),
            Decision::DuplicateInBatch(_) => Ok("duplicate in batch"),
            Decision::Duplicate(_) => Ok("duplicate"),
            Decision::Changed(protocol::ChangeKind::Edited, _) => Ok("edited"),
            Decision::Changed(protocol::ChangeKind::Deleted, _) => Ok("deleted"),
            Decision::Changed(protocol::ChangeKind::Sent, _) => Ok("sent"),
        }
    }

    #[test]
    fn a_message_is_admitted_by_chat_then_user_then_membership() {
        let (me, stranger) = (Caller::User(MEMBER), Caller::User(STRANGER));
        for (caller, author, chat, expected) in [
            (me, MEMBER, CHAT, Ok("new")),
            (me, MEMBER, OTHER_CHAT, Err(ChatNotFound)),
            (stranger, STRANGER, CHAT, Err(ChatNotFound)),
            (Caller::Known(STRANGER), STRANGER, CHAT, Ok("new")),
            (Caller::Open, STRANGER, CHAT, Ok("new")),
            (Caller::Open, MEMBER, NO_CHAT, Err(ChatNotFound)),
            (Caller::Open, NO_USER, CHAT, Err(UserNotFound)),
            (Caller::Open, NO_USER, NO_CHAT, Err(ChatNotFound)),
        ] {
            let decision = decide(&mut state(), &send(caller, message(author, chat)));
            assert_eq!(decision, expected, "{caller:?} for {author} in {chat}");
        }
    }

    #[test]
    fn a_reply_needs_a_message_of_its_chat() {
        for (reply_to, expected) in [
            (STORED, Ok("new")),
            (DELETED, Ok("new")),
            (OTHER, Err(InvalidField)),
            (NO_MESSAGE, Err(InvalidField)),
        ] {
            let mut reply = message(MEMBER, CHAT);
            reply.reply_to = Some(reply_to);
            let decision = decide(&mut state(), &send(Caller::Open, reply));
            assert_eq!(decision, expected, "a reply to {reply_to}");
        }
    }

    #[test]
    fn an_author_edits_a_message_that_is_not_deleted() {
        let (id, latest) = (MessageRef::Message, MessageRef::LatestOf);
        for (actor, which, expected) in [
            (Some(MEMBER), id(STORED), Ok("edited")),
            (None, id(STORED), Ok("edited")),
            (Some(ADMIN), id(STORED), Err(Forbidden)),
            (Some(NO_USER), id(STORED), Err(UserNotFound)),
            (Some(MEMBER), id(DELETED), Err(MessageNotFound)),
            (Some(MEMBER), id(OTHER), Err(MessageNotFound)),
            (Some(MEMBER), id(NO_MESSAGE), Err(MessageNotFound)),
            (Some(MEMBER), latest(MEMBER), Ok("edited")),
            (Some(ADMIN), latest(ADMIN), Err(MessageNotFound)),
        ] {
            let decision = decide(&mut state(), &edit(actor, which));
            assert_eq!(decision, expected, "{actor:?} edits {which:?}");
        }
    }

    #[test]
    fn an_author_or_an_admin_deletes_a_message_once() {
        for (actor, message, expected) in [
            (Some(MEMBER), STORED, Ok("deleted")),
            (Some(ADMIN), STORED, Ok("deleted")),
            (None, STORED, Ok("deleted")),
            (Some(STRANGER), STORED, Err(Forbidden)),
            (Some(NO_USER), STORED, Err(UserNotFound)),
            (Some(MEMBER), DELETED, Err(MessageNotFound)),
            (Some(MEMBER), OTHER, Err(MessageNotFound)),
        ] {
            let decision = decide(&mut state(), &delete(actor, message));
            assert_eq!(decision, expected, "{actor:?} deletes {message}");
        }
    }

    #[test]
    fn an_idempotency_key_counts_for_one_author_in_one_chat() {
        let mut state = state();
        for (author, chat, key, expected) in [
            (MEMBER, CHAT, "stored", "duplicate"),
            (ADMIN, CHAT, "stored", "new"),
            (MEMBER, OTHER_CHAT, "stored", "new"),
            (MEMBER, CHAT, "fresh", "new"),
            (MEMBER, CHAT, "fresh", "duplicate in batch"),
            (ADMIN, CHAT, "fresh", "new"),
        ] {
            let change = send(Caller::Open, keyed(author, chat, key));
            let decision = decide(&mut state, &change);
            assert_eq!(decision, Ok(expected), "{key:?} of {author} in {chat}");
        }
        let seqs = state.new.iter().map(|(seq, new)| (new.chat.0, seq.0));
        assert_eq!(Vec::from_iter(seqs), [(1, 11), (2, 21), (1, 12), (1, 13)]);
    }

    #[test]
    fn a_change_sees_the_changes_before_it_and_a_refused_one_takes_no_seq() {
        let (mut state, stored) = (state(), MessageRef::Message(STORED));
        let sent = |message| send(Caller::Open, message);
        let repeated = || sent(keyed(MEMBER, CHAT, "stored"));
        for (change, expected, head) in [
            (sent(message(ADMIN, CHAT)), Ok("new"), 11),
            (edit(Some(ADMIN), stored), Err(Forbidden), 11),
            (edit(Some(MEMBER), stored), Ok("edited"), 12),
            (repeated(), Ok("duplicate"), 12),
            (delete(Some(ADMIN), STORED), Ok("deleted"), 13),
            (edit(Some(MEMBER), stored), Err(MessageNotFound), 13),
            (repeated(), Ok("duplicate"), 13),
        ] {
            assert_eq!(decide(&mut state, &change), expected, "{change:?}");
            assert_eq!(state.heads.get(CHAT), Some(Seq(head)), "{change:?}");
        }
        let moved = state.heads.moved().into_iter();
        assert_eq!(Vec::from_iter(moved.map(|head| head.chat_id)), [CHAT]);
        assert_eq!(state.changed, BTreeSet::from([STORED]));
        let tombstone = state.messages.get(&STORED);
        assert!(tombstone.is_some_and(|message| {
            message.seq == Seq(13) && message.content.is_none() && message.deleted_by == Some(ADMIN)
        }));
    }

    #[test]
    fn an_exclusive_change_has_no_place_in_a_batch() {
        let (caller, chat, user) = (Caller::Open, CHAT, MEMBER);
        for change in [
            Change::DeleteUser {
                caller,
                user,
                after: DeletionCursor::start(1),
            },
            Change::DeleteChat { caller, chat },
            Change::RemoveMember { caller, user, chat },
        ] {
            let decision = decide(&mut state(), &change);
            assert_eq!(decision, Err(Unavailable), "{change:?}");
        }
    }
}
