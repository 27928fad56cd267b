//! Commands of a connected socket: carries out each frame from the client and sends or queues its
//! answer.

use super::session::{AcceptedConnect, SocketSession, admit};
use crate::{
    auth::Caller,
    delivery::{MessageRef, Outcome},
    error::{Error, within},
    model::{ChatId, MessageId, NewMessage, UserId},
    protocol::{
        ClientCommand, CloseCode, Connect, Frame, MarkRead, Request, RequestId, StartTyping,
        UpdateMessage,
    },
    service::PendingReceipt,
};
use std::{collections::VecDeque, time::Duration};

/// Time limit of a database query for a command. After it the client receives `unavailable`.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// A submitted read position that is not answered yet.
pub(super) struct AwaitedReceipt {
    id: Option<RequestId>,
    chat: ChatId,
    pending: PendingReceipt,
}

impl SocketSession {
    /// Carries out a text frame, or answers the frame with an error.
    ///
    /// Rare waits are boxed: the task of a socket reserves memory for the largest wait in here, for as long as the
    /// socket is open.
    pub(super) async fn handle(&mut self, text: &str) -> Result<(), CloseCode> {
        let Request { id, command } = Request::parse(text);
        // `Ok` for a queued change or read position: its answer comes later, as an event of the loop.
        let done = match self.check_rate(command) {
            Ok(ClientCommand::Send(message)) => self.send(id.clone(), message),
            Ok(ClientCommand::Update(update)) => self.update(id.clone(), update),
            Ok(ClientCommand::Leave(chat)) => return Box::pin(self.leave(id, chat)).await,
            Ok(ClientCommand::Typing(typing)) => match self.start_typing(&typing) {
                Ok(()) => return Box::pin(self.ack_typing(id, typing.chat)).await,
                Err(error) => Err(error),
            },
            Ok(ClientCommand::Read(mark)) => self.mark_read(id.clone(), &mark),
            Ok(ClientCommand::Delete(delete)) => {
                Box::pin(self.delete(id.clone(), delete.message)).await?
            }
            Ok(ClientCommand::Connect(connect)) => {
                match Box::pin(self.connect(id.clone(), connect)).await {
                    Ok(admitted) => return Box::pin(self.finish_connect(admitted)).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                self.socket.slow_down(&error);
                Box::pin(self.refuse(id.as_ref(), &error)).await
            }
        }
    }

    /// Applies the user's rate limit to frames that no other limiter covers. `connect-chat` and
    /// changes of messages have limiters of their own. A `leave-chat` of a connected chat is
    /// already limited by its `connect-chat`.
    fn check_rate(&self, command: Result<ClientCommand, Error>) -> Result<ClientCommand, Error> {
        let limited = match &command {
            Ok(ClientCommand::Send(_) | ClientCommand::Update(_) | ClientCommand::Delete(_)) => {
                false
            }
            Ok(ClientCommand::Connect(_)) => false,
            Ok(ClientCommand::Leave(chat)) => !self.feed.is_in(*chat),
            Ok(ClientCommand::Typing(_) | ClientCommand::Read(_)) | Err(_) => true,
        };
        if limited {
            let signals = &self.state.signals;
            signals.take(&self.user, "frames of this user other than messages")?;
        }
        command
    }

    pub(super) async fn refuse(
        &mut self,
        id: Option<&RequestId>,
        error: &Error,
    ) -> Result<(), CloseCode> {
        self.socket.log(Some(self.user), error);
        self.state.metrics.refusal(error.code().as_str(), "ws");
        self.socket.buffer(Frame::error(id, error)).await
    }

    /// Connects the socket to a further chat, or again to a connected one.
    async fn connect(
        &mut self,
        id: Option<RequestId>,
        connect: Connect,
    ) -> Result<AcceptedConnect, Error> {
        Caller::User(self.user).acting_as(connect.user)?;
        if let Some(token) = &connect.token {
            // The user of the socket is already known; a token must belong to that user.
            let shown = self.state.sessions.authenticate(token).await?;
            Caller::User(self.user).acting_as(Some(shown.user))?;
        }
        admit(&mut self.feed, &self.state, self.caller, id, connect).await
    }

    fn send(
        &mut self,
        id: Option<RequestId>,
        message: NewMessage<Option<UserId>>,
    ) -> Result<(), Error> {
        self.require_joined(message.chat)?;
        let caller = Caller::User(self.user);
        let sending = self.state.messages.send(caller, message)?;
        sending.submit_for(&self.answers, id, ack_sent)
    }

    fn update(&mut self, id: Option<RequestId>, update: UpdateMessage) -> Result<(), Error> {
        let UpdateMessage {
            message,
            chat,
            user,
            content,
        } = update;
        self.require_joined(chat)?;
        let which = message.map_or(MessageRef::LatestOf(self.user), MessageRef::Message);
        let caller = Caller::User(self.user);
        let messages = &self.state.messages;
        let edit = messages.edit(caller, user, chat, which, content)?;
        edit.submit_for(&self.answers, id, ack_edited)
    }

    /// Queues a deletion. The outer error closes the socket; the inner error is answered.
    async fn delete(
        &mut self,
        id: Option<RequestId>,
        message: MessageId,
    ) -> Result<Result<(), Error>, CloseCode> {
        // Frames in the buffer must not wait for the query below.
        self.socket.flush().await?;
        let finding = self
            .state
            .messages
            .chat_of(Caller::User(self.user), message);
        let found = within(STORE_LIMIT, finding).await;
        Ok(found.and_then(|chat| {
            self.require_joined(chat)?;
            let caller = Caller::User(self.user);
            let deletion = self.state.messages.delete(caller, None, chat, message)?;
            deletion.submit_for(&self.answers, id, ack_deleted)
        }))
    }

    async fn leave(&mut self, id: Option<RequestId>, chat: ChatId) -> Result<(), CloseCode> {
        let Some(subscription) = self.feed.leave(chat) else {
            return self.refuse(id.as_ref(), &Error::not_connected(chat)).await;
        };
        let who = subscription.who().cloned();
        drop(subscription);
        if let Some(who) = who {
            self.socket.buffer(Frame::leave(chat, &who)).await?;
        }
        match id {
            Some(id) => self.socket.buffer(Frame::left(&id, chat)).await,
            None => Ok(()),
        }
    }

    fn require_joined(&self, chat: ChatId) -> Result<(), Error> {
        match self.feed.is_in(chat) {
            true => Ok(()),
            false => Err(Error::not_connected(chat)),
        }
    }

    fn start_typing(&mut self, typing: &StartTyping) -> Result<(), Error> {
        self.require_joined(typing.chat)?;
        Caller::User(self.user).acting_as(typing.user)?;
        // The own notice comes after the ack.
        self.feed.close_line(typing.chat);
        self.feed.notify_typing(typing.chat);
        Ok(())
    }

    async fn ack_typing(&mut self, id: Option<RequestId>, chat: ChatId) -> Result<(), CloseCode> {
        match id {
            Some(id) => self.socket.buffer(Frame::typed(&id, chat)).await,
            None => Ok(()),
        }
    }

    fn mark_read(&mut self, id: Option<RequestId>, mark: &MarkRead) -> Result<(), Error> {
        let MarkRead { chat, message, .. } = *mark;
        self.require_joined(chat)?;
        Caller::User(self.user).acting_as(mark.user)?;
        let pending = self.state.receipts.mark(self.user, chat, message)?;
        self.receipts
            .push_back(AwaitedReceipt { id, chat, pending });
        Ok(())
    }

    /// Answers the oldest pending read position.
    pub(super) async fn answer_receipt(
        &mut self,
        position: Result<MessageId, Error>,
    ) -> Result<(), CloseCode> {
        let Some(AwaitedReceipt { id, chat, .. }) = self.receipts.pop_front() else {
            return Ok(());
        };
        match (position, id) {
            (Ok(position), Some(id)) => {
                self.socket.buffer(Frame::marked(&id, chat, position)).await
            }
            (Ok(_), None) => Ok(()),
            (Err(error), id) => self.refuse(id.as_ref(), &error).await,
        }
    }
}

fn ack_sent(id: &RequestId, answer: Outcome) -> Result<Frame, Error> {
    let duplicate = matches!(answer, Outcome::Duplicate(_));
    Ok(Frame::sent(id, &answer.into_message()?, duplicate))
}

fn ack_edited(id: &RequestId, answer: Outcome) -> Result<Frame, Error> {
    Ok(Frame::edited(id, &answer.into_message()?))
}

fn ack_deleted(id: &RequestId, answer: Outcome) -> Result<Frame, Error> {
    Ok(Frame::deleted(id, &answer.into_message()?))
}

/// Waits for the result of the oldest pending read position. Returns `None` if none is pending.
pub(super) async fn next_receipt(
    receipts: &mut VecDeque<AwaitedReceipt>,
) -> Option<Result<MessageId, Error>> {
    match receipts.front_mut() {
        Some(first) => Some(first.pending.answer().await),
        None => None,
    }
}
