//! Messages.

use super::pagination::{BackPage, Limit, Page};
use crate::{
    auth::Caller,
    delivery::access,
    delivery::{Change, MessageRef, Outcome, Pending, Writer, of_this_epoch},
    error::{Code, Error},
    model::{
        ChatId, ClientMessageId, Content, Epoch, Message, MessageId, Role, SearchText, Since,
        UserId,
    },
    policy,
    rate_limit::KeyedRateLimiter,
    repository::{EpochRepository, Found, Located, MemberRepository, MessageRepository, PageLimit},
};

/// The rules about messages.
#[derive(Clone)]
pub struct MessageService {
    messages: MessageRepository,
    members: MemberRepository,
    epochs: EpochRepository,
    writer: Writer,
    /// How fast each user may change messages, wherever they do it from.
    pace: KeyedRateLimiter<UserId>,
}

/// A message to send.
#[derive(Debug)]
pub struct SendRequest {
    /// Who sends, if they say so.
    pub author: Option<UserId>,
    /// Where to.
    pub chat: ChatId,
    /// What.
    pub content: Content,
    /// The sender's own name for it.
    pub key: Option<ClientMessageId>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
}

impl MessageService {
    /// On these parts.
    #[must_use]
    pub fn new(
        messages: MessageRepository,
        members: MemberRepository,
        epochs: EpochRepository,
        writer: Writer,
        pace: KeyedRateLimiter<UserId>,
    ) -> Self {
        Self {
            messages,
            members,
            epochs,
            writer,
            pace,
        }
    }

    /// The newest messages of a chat with ids under `before`, oldest first; `chat_not_found`.
    pub async fn page(
        &self,
        caller: Caller,
        chat: ChatId,
        before: Option<MessageId>,
        limit: Limit,
    ) -> Result<BackPage, Error> {
        access::may_see(&self.members, caller, chat).await?;
        let before = before.unwrap_or(MessageId(i64::MAX));
        let read = self.messages.page(chat, before, limit.of_messages());
        let page = limit.messages_back(read.await?);
        self.still_sees(caller, chat, page.rows.is_empty()).await?;
        Ok(page)
    }

    /// The newest messages of a chat with ids under `before` that hold a text, oldest first. A page can
    /// be short, or empty, and have a next one; `chat_not_found`.
    pub async fn search(
        &self,
        caller: Caller,
        chat: ChatId,
        text: &SearchText,
        before: Option<MessageId>,
        limit: Limit,
    ) -> Result<BackPage, Error> {
        access::may_see(&self.members, caller, chat).await?;
        let before = before.unwrap_or(MessageId(i64::MAX));
        let most = PageLimit {
            rows: limit.get(),
            ..limit.of_messages()
        };
        let Found { ids, next } = self.messages.search(chat, text, before, most).await?;
        let mut rows = self.messages.find_all(&ids).await?;
        // Deleted or edited since it was looked at.
        rows.retain(|message| message.content.as_deref().is_some_and(|c| text.is_in(c)));
        rows.sort_unstable_by_key(|message| message.message_id);
        self.still_sees(caller, chat, rows.is_empty()).await?;
        Ok(BackPage { rows, next })
    }

    /// Every message of a chat that changed after `since`, by change, and the epoch of the log, read
    /// before the page; `chat_not_found`; `invalid_field` for a `since` of another epoch.
    pub async fn since(
        &self,
        caller: Caller,
        chat: ChatId,
        since: &Since,
        limit: Limit,
    ) -> Result<(Page<Message>, Epoch), Error> {
        access::may_see(&self.members, caller, chat).await?;
        let epoch = self.epochs.read().await?.epoch;
        of_this_epoch(since.epoch.as_ref(), Some(&epoch), "The query")?;
        let read = self.messages.since(chat, since.seq, limit.of_messages());
        let page = limit.messages(read.await?);
        self.still_sees(caller, chat, page.rows.is_empty()).await?;
        Ok((page, epoch))
    }

    /// Asks again once the page is read: the caller may have been removed meanwhile. Asking first
    /// alone would not do, asking last alone would tell a stranger by the time it takes how long the
    /// chat is and what is in it.
    async fn still_sees(&self, caller: Caller, chat: ChatId, is_empty: bool) -> Result<(), Error> {
        access::may_see(&self.members, caller, chat).await?;
        match is_empty && self.messages.head(chat).await?.is_none() {
            true => Err(Error::chat_not_found(chat)),
            false => Ok(()),
        }
    }

    /// The message of that id, deleted or not; `message_not_found`. One that is hidden from the caller
    /// takes as long as one that does not exist: the same is read for both, and nothing of it.
    pub async fn find(&self, caller: Caller, id: MessageId) -> Result<Message, Error> {
        let found = match caller.user().filter(|_| caller.members_only()) {
            Some(me) => {
                self.locate_as(me, caller, id).await?;
                self.messages.find_as(me, id).await?
            }
            None => self.messages.find(id).await?,
        };
        found.ok_or_else(|| Error::message_not_found(id))
    }

    /// The chat that a message to change is in; `message_not_found` also where the caller does not
    /// see it, after as long.
    pub async fn chat_of(&self, caller: Caller, id: MessageId) -> Result<ChatId, Error> {
        match caller.user().filter(|_| caller.members_only()) {
            Some(me) => self.locate_as(me, caller, id).await,
            None => {
                let chat = self.messages.chat_of(id).await?;
                chat.ok_or_else(|| Error::message_not_found(id))
            }
        }
    }

    /// The chat of a message that a user sees.
    async fn locate_as(&self, me: UserId, caller: Caller, id: MessageId) -> Result<ChatId, Error> {
        let located = self.messages.locate_as(me, id).await?;
        let Located { chat_id, role } = located.ok_or_else(|| Error::message_not_found(id))?;
        policy::see_message(caller, role.map(Role::from), chat_id, id)?;
        Ok(chat_id)
    }

    /// Hands a message in for sending.
    ///
    /// # Errors
    /// `invalid_field`, `forbidden`, `rate_limited`, `unavailable` at once; the rest comes with the answer.
    pub fn send(&self, caller: Caller, post: SendRequest) -> Result<Pending, Error> {
        let SendRequest {
            author,
            chat,
            content,
            key,
            reply_to,
        } = post;
        let author = caller.require_user(author)?;
        self.hold_to_pace(Some(author))?;
        self.writer.submit(Change::Send {
            caller,
            author,
            chat,
            content,
            key,
            reply_to,
        })
    }

    /// Hands an edit in.
    ///
    /// # Errors
    /// As `send`.
    pub fn edit(
        &self,
        caller: Caller,
        actor: Option<UserId>,
        chat: ChatId,
        which: MessageRef,
        content: Content,
    ) -> Result<Pending, Error> {
        let actor = caller.acting_as(actor)?;
        self.hold_to_pace(actor)?;
        self.writer.submit(Change::Edit {
            caller,
            actor,
            chat,
            which,
            content,
        })
    }

    /// Hands a deletion in.
    ///
    /// # Errors
    /// As `send`.
    pub fn delete(
        &self,
        caller: Caller,
        actor: Option<UserId>,
        chat: ChatId,
        message: MessageId,
    ) -> Result<Pending, Error> {
        let actor = caller.acting_as(actor)?;
        self.hold_to_pace(actor)?;
        self.writer.submit(Change::Delete {
            caller,
            actor,
            chat,
            message,
        })
    }

    /// Takes one change from the user's bucket. Who names nobody, in open mode, is held to the pace
    /// of their address alone.
    fn hold_to_pace(&self, user: Option<UserId>) -> Result<(), Error> {
        match user {
            Some(user) => self.pace.take(&user, "messages from this user"),
            None => Ok(()),
        }
    }
}

impl Outcome {
    /// The message that the answer is about.
    ///
    /// # Errors
    /// `internal` where it is about none: a fault of ours.
    pub fn into_message(self) -> Result<Message, Error> {
        match self {
            Self::Message(message) | Self::Duplicate(message) => Ok(*message),
            Self::Deleted | Self::Incomplete => {
                Err(Error::new(Code::Internal, "The answer is about no message"))
            }
        }
    }
}
