//! Messages.

use super::{
    page::{Limit, Page},
    writer::{Answer, Change, Pending, Which, Writer},
};
use crate::{
    auth::Caller,
    error::{Code, Error},
    model::{ChatId, ClientMessageId, Content, Message, MessageId, Seq, UserId},
    repository::{MemberRepository, MessageRepository},
};

/// The rules about messages.
#[derive(Clone)]
pub struct MessageService {
    messages: MessageRepository,
    members: MemberRepository,
    writer: Writer,
}

/// A message to send.
#[derive(Debug)]
pub struct Post {
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
    pub fn new(messages: MessageRepository, members: MemberRepository, writer: Writer) -> Self {
        Self {
            messages,
            members,
            writer,
        }
    }

    /// The newest messages of a chat with ids under `before`, oldest first; with `text`, those
    /// that hold it; `chat_not_found`.
    pub async fn page(
        &self,
        _caller: Caller,
        chat: ChatId,
        before: Option<MessageId>,
        text: Option<&str>,
        limit: Limit,
    ) -> Result<Page<Message>, Error> {
        let before = before.unwrap_or(MessageId(i64::MAX));
        let rows = match text {
            Some(text) => {
                self.messages
                    .search(chat, text, before, limit.and_one())
                    .await?
            }
            None => self.messages.page(chat, before, limit.and_one()).await?,
        };
        self.of_a_chat(chat, limit.page_back(rows)).await
    }

    /// Every message of a chat that changed after `since`, by change; `chat_not_found`.
    pub async fn since(
        &self,
        _caller: Caller,
        chat: ChatId,
        since: Seq,
        limit: Limit,
    ) -> Result<Page<Message>, Error> {
        let rows = self.messages.since(chat, since, limit.and_one()).await?;
        self.of_a_chat(chat, limit.page(rows)).await
    }

    async fn of_a_chat(&self, chat: ChatId, page: Page<Message>) -> Result<Page<Message>, Error> {
        if page.rows.is_empty() && self.messages.head(chat).await?.is_none() {
            return Err(Error::chat_not_found(chat));
        }
        Ok(page)
    }

    /// The message of that id, deleted or not; `message_not_found`.
    pub async fn find(&self, _caller: Caller, id: MessageId) -> Result<Message, Error> {
        self.messages
            .find(id)
            .await?
            .ok_or_else(|| Error::message_not_found(id))
    }

    /// The chat that a message is in; `message_not_found`.
    pub async fn chat_of(&self, id: MessageId) -> Result<ChatId, Error> {
        self.messages
            .chat_of(id)
            .await?
            .ok_or_else(|| Error::message_not_found(id))
    }

    /// The chat that a user's message to delete is in; `message_not_found` also where the user does
    /// not belong to it, because then it does not exist for them.
    pub async fn chat_for(&self, user: UserId, id: MessageId) -> Result<ChatId, Error> {
        let chat = self.chat_of(id).await?;
        let member = self.members.find(user, chat).await?;
        member
            .map(|_| chat)
            .ok_or_else(|| Error::message_not_found(id))
    }

    /// Hands a message in for sending.
    ///
    /// # Errors
    /// `invalid_field`, `forbidden`, `unavailable` at once; the rest comes with the answer.
    pub fn send(&self, caller: Caller, post: Post) -> Result<Pending, Error> {
        let Post {
            author,
            chat,
            content,
            key,
            reply_to,
        } = post;
        let author = caller.someone(author)?;
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
        which: Which,
        content: Content,
    ) -> Result<Pending, Error> {
        let actor = caller.acting_as(actor)?;
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
        self.writer.submit(Change::Delete {
            caller,
            actor,
            chat,
            message,
        })
    }
}

impl Answer {
    /// The message that the answer is about.
    ///
    /// # Errors
    /// `internal` where it is about none: a fault of ours.
    pub fn into_message(self) -> Result<Message, Error> {
        match self {
            Self::Message(message) | Self::Repeated(message) => Ok(*message),
            Self::Gone | Self::Partly => {
                Err(Error::new(Code::Internal, "The answer is about no message"))
            }
        }
    }
}
