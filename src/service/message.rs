//! Reading and changing messages. Reads check access to the chat; changes are rate limited and submitted to
//! the writer.

use super::pagination::{BackPage, Limit, Page};
use crate::{
    auth::Caller,
    database::Database,
    delivery::access,
    delivery::{Change, MessageRef, Submission, Writer, require_epoch},
    error::Error,
    model::{
        ChatId, Content, Epoch, Message, MessageId, NewMessage, Role, SearchText, Since, UserId,
    },
    policy,
    protocol::ListedChange,
    rate_limit::KeyedRateLimiter,
    repository::{Found, Located, PageLimit, TextPage},
};

/// The rules about messages.
#[derive(Clone)]
pub struct MessageService {
    database: Database,
    writer: Writer,
    /// The rate limiter of message changes by user, over REST and all sockets of the user.
    rate_limiter: KeyedRateLimiter<UserId>,
}

impl MessageService {
    /// Returns the service.
    #[must_use]
    pub fn new(database: Database, writer: Writer, rate_limiter: KeyedRateLimiter<UserId>) -> Self {
        Self {
            database,
            writer,
            rate_limiter,
        }
    }

    /// Returns the newest messages of a chat with ids below `before`, oldest first. Without `before`, the
    /// page ends at the chat's newest message.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat.
    pub async fn page(
        &self,
        caller: Caller,
        chat: ChatId,
        before: Option<MessageId>,
        limit: Limit,
    ) -> Result<BackPage, Error> {
        access::may_see(&self.database, caller, chat).await?;
        let before = before.unwrap_or(MessageId(i64::MAX));
        let messages = self.database.messages();
        let read = messages.page(chat, before, limit.of_messages());
        let page = limit.messages_back(read.await?);
        self.check_still_visible(caller, chat, page.rows.is_empty())
            .await?;
        Ok(page)
    }

    /// Returns the newest messages of a chat with ids below `before` that contain a text, oldest first. A
    /// page may be short or empty and still have a next page.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat.
    pub async fn search(
        &self,
        caller: Caller,
        chat: ChatId,
        text: &SearchText,
        before: Option<MessageId>,
        limit: Limit,
    ) -> Result<BackPage, Error> {
        access::may_see(&self.database, caller, chat).await?;
        let before = before.unwrap_or(MessageId(i64::MAX));
        let most = PageLimit {
            rows: limit.get(),
            ..limit.of_messages()
        };
        let found = self.database.search().find(chat, text, before, most);
        let Found { ids, next } = found.await?;
        let mut rows = self.database.messages().find_all(&ids).await?;
        // The message may have been deleted or edited since the search.
        rows.retain(|message| message.content.as_deref().is_some_and(|c| text.is_in(c)));
        rows.sort_unstable_by_key(|message| message.message_id);
        self.check_still_visible(caller, chat, rows.is_empty())
            .await?;
        Ok(BackPage { rows, next })
    }

    /// Returns the messages of a chat that changed after `since`, in the order of their changes, and the
    /// epoch of the log.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat; `invalid_field` for a `since` of another
    /// epoch.
    pub async fn since(
        &self,
        caller: Caller,
        chat: ChatId,
        since: &Since,
        limit: Limit,
    ) -> Result<(Page<Message>, Epoch), Error> {
        let messages = self.database.messages();
        let read = messages.since(chat, since.seq, limit.of_messages());
        self.after(caller, chat, since, limit, read).await
    }

    /// Returns the things of a chat that changed after `since`: messages, memberships and the chat itself, in the order
    /// of their changes, and the epoch of the log.
    ///
    /// # Errors
    /// `chat_not_found`, also if the caller may not see the chat; `invalid_field` for a `since` of another
    /// epoch.
    pub async fn changes(
        &self,
        caller: Caller,
        chat: ChatId,
        since: &Since,
        limit: Limit,
    ) -> Result<(Page<ListedChange>, Epoch), Error> {
        let changes = self.database.changes();
        let read = changes.since(chat, since.seq, limit.of_messages());
        let (Page { rows, more }, epoch) = self.after(caller, chat, since, limit, read).await?;
        let since = since.seq;
        let rows = rows.into_iter();
        let rows = rows.map(|entry| ListedChange { entry, since }).collect();
        Ok((Page { rows, more }, epoch))
    }

    /// Returns the page that `read` reads after `since`, and the epoch of the log, which is read before it.
    async fn after<T>(
        &self,
        caller: Caller,
        chat: ChatId,
        since: &Since,
        limit: Limit,
        read: impl Future<Output = Result<TextPage<T>, Error>>,
    ) -> Result<(Page<T>, Epoch), Error> {
        access::may_see(&self.database, caller, chat).await?;
        let epoch = self.database.epoch().read().await?.epoch;
        require_epoch(since.epoch.as_ref(), Some(&epoch), "The query")?;
        let page = limit.texts(read.await?);
        self.check_still_visible(caller, chat, page.rows.is_empty())
            .await?;
        Ok((page, epoch))
    }

    /// Repeats the access check after the page is read, because the caller may have been removed meanwhile.
    /// The check before the read keeps strangers from learning the length and content of the chat from the
    /// response time; the check after the read catches a removal during it. An empty page may also mean
    /// that the chat does not exist.
    async fn check_still_visible(
        &self,
        caller: Caller,
        chat: ChatId,
        is_empty: bool,
    ) -> Result<(), Error> {
        access::may_see(&self.database, caller, chat).await?;
        match is_empty && self.database.chats().head(chat).await?.is_none() {
            true => Err(Error::chat_not_found(chat)),
            false => Ok(()),
        }
    }

    /// Returns a message by id, also if it is deleted. A message hidden from the caller takes as long as a
    /// missing message: the query is equal, and no content is read.
    ///
    /// # Errors
    /// `message_not_found`.
    pub async fn find(&self, caller: Caller, id: MessageId) -> Result<Message, Error> {
        let messages = self.database.messages();
        let found = match caller.user().filter(|_| caller.members_only()) {
            Some(me) => {
                self.locate_as(me, caller, id).await?;
                messages.find_as(me, id).await?
            }
            None => messages.find(id).await?,
        };
        found.ok_or_else(|| Error::message_not_found(id))
    }

    /// Returns the chat of a message that the caller wants to change.
    ///
    /// # Errors
    /// `message_not_found`, also if the caller may not see the message; both cases take equally long.
    pub async fn chat_of(&self, caller: Caller, id: MessageId) -> Result<ChatId, Error> {
        match caller.user().filter(|_| caller.members_only()) {
            Some(me) => self.locate_as(me, caller, id).await,
            None => {
                let chat = self.database.messages().chat_of(id).await?;
                chat.ok_or_else(|| Error::message_not_found(id))
            }
        }
    }

    /// Returns the chat of a message, after checking that the user may see it.
    async fn locate_as(&self, me: UserId, caller: Caller, id: MessageId) -> Result<ChatId, Error> {
        let located = self.database.messages().locate_as(me, id).await?;
        let Located { chat_id, role } = located.ok_or_else(|| Error::message_not_found(id))?;
        policy::see_message(caller, role.map(Role::from), chat_id, id)?;
        Ok(chat_id)
    }

    /// Checks a message that is to be sent.
    ///
    /// # Errors
    /// `invalid_field`, `forbidden`, `rate_limited`; further errors come with the submission and with the
    /// answer.
    pub fn send(
        &self,
        caller: Caller,
        message: NewMessage<Option<UserId>>,
    ) -> Result<Submission<'_>, Error> {
        let author = caller.require_user(message.author)?;
        self.take_rate_permit(Some(author))?;
        let message = message.sent_by(author);
        Ok(self.writer.prepare(Change::Send { caller, message }))
    }

    /// Checks an edit.
    ///
    /// # Errors
    /// `forbidden`, `rate_limited` and `unavailable` at once; further errors come with the answer.
    pub fn edit(
        &self,
        caller: Caller,
        actor: Option<UserId>,
        chat: ChatId,
        which: MessageRef,
        content: Content,
    ) -> Result<Submission<'_>, Error> {
        let actor = caller.acting_as(actor)?;
        self.take_rate_permit(actor)?;
        Ok(self.writer.prepare(Change::Edit {
            caller,
            actor,
            chat,
            which,
            content,
        }))
    }

    /// Checks a deletion.
    ///
    /// # Errors
    /// `forbidden`, `rate_limited` and `unavailable` at once; further errors come with the answer.
    pub fn delete(
        &self,
        caller: Caller,
        actor: Option<UserId>,
        chat: ChatId,
        message: MessageId,
    ) -> Result<Submission<'_>, Error> {
        let actor = caller.acting_as(actor)?;
        self.take_rate_permit(actor)?;
        Ok(self.writer.prepare(Change::Delete {
            caller,
            actor,
            chat,
            message,
        }))
    }

    /// Takes a permit for one change from the user's rate limiter. A caller without a user, in open mode,
    /// is limited by client address only.
    fn take_rate_permit(&self, user: Option<UserId>) -> Result<(), Error> {
        match user {
            Some(user) => self.rate_limiter.take(&user, "messages from this user"),
            None => Ok(()),
        }
    }
}
