//! What a socket's user asks for, and what becomes of it.

use super::session::{Admitted, Awaited, Session, admit};
use crate::{
    auth::Caller,
    delivery::{Answer, Which},
    error::Error,
    model::{ChatId, MessageId},
    protocol::{
        Close, Command, Connect, Frame, MarkRead, Request, RequestId, SendMessage, StartTyping,
        UpdateMessage,
    },
    service::{Marking, Post},
};
use std::{collections::VecDeque, time::Duration};
use tokio::time;

/// How long a question to the store may take before the client hears `unavailable`.
const STORE_LIMIT: Duration = Duration::from_secs(5);

impl Session {
    /// Does what a text frame asks, or says why not.
    pub(super) async fn handle(&mut self, text: &str) -> Result<(), Close> {
        let Request { id, command } = Request::parse(text);
        let done = match self.in_pace(command) {
            Ok(Command::Send(send)) => self.send(id.clone(), send),
            Ok(Command::Update(update)) => self.update(id.clone(), update),
            Ok(Command::Leave(chat)) => return self.leave(id, chat).await,
            Ok(Command::Typing(typing)) => match self.type_in(&typing) {
                Ok(()) => return self.typed(id, typing.chat).await,
                Err(error) => Err(error),
            },
            Ok(Command::Read(mark)) => self.mark_read(id.clone(), &mark),
            Ok(Command::Delete(delete)) => {
                Box::pin(self.delete(id.clone(), delete.message)).await?
            }
            Ok(Command::Connect(connect)) => {
                match Box::pin(self.connect(id.clone(), connect)).await {
                    Ok(admitted) => return Box::pin(self.greet(admitted)).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                self.line.slow_down(&error);
                self.refuse(id.as_ref(), &error).await
            }
        }
    }

    /// Holds what has no pace of its own to that of its user: `connect-chat` and messages have one, and
    /// who leaves a chat had to connect to it.
    fn in_pace(&self, command: Result<Command, Error>) -> Result<Command, Error> {
        let paced = match &command {
            Ok(Command::Send(_) | Command::Update(_) | Command::Delete(_)) => false,
            Ok(Command::Connect(_)) => false,
            Ok(Command::Leave(chat)) => !self.feed.is_in(*chat),
            Ok(Command::Typing(_) | Command::Read(_)) | Err(_) => true,
        };
        if paced {
            let signals = &self.state.signals;
            signals.take(&self.user, "frames of this user that are no messages")?;
        }
        command
    }

    pub(super) async fn refuse(
        &mut self,
        id: Option<&RequestId>,
        error: &Error,
    ) -> Result<(), Close> {
        self.line.log(Some(self.user), error);
        self.state.metrics.refusal(error.code().as_str(), "ws");
        self.line.gather(Frame::error(id, error)).await
    }

    async fn connect(
        &mut self,
        id: Option<RequestId>,
        connect: Connect,
    ) -> Result<Admitted, Error> {
        Caller::User(self.user).acting_as(connect.user)?;
        if let Some(token) = &connect.token {
            // It is known already who this is; a token must not say otherwise.
            let shown = self.state.logins.authenticate(token).await?;
            Caller::User(self.user).acting_as(Some(shown.user))?;
        }
        admit(&mut self.feed, &self.state, self.caller, id, connect).await
    }

    fn send(&mut self, id: Option<RequestId>, send: SendMessage) -> Result<(), Error> {
        self.must_be_in(send.chat)?;
        let post = Post {
            author: send.user,
            chat: send.chat,
            content: send.content,
            key: send.client_message_id,
            reply_to: send.reply_to,
        };
        let pending = self.state.messages.send(Caller::User(self.user), post)?;
        self.pending.push_back(Awaited {
            id,
            ack: ack_sent,
            pending,
        });
        Ok(())
    }

    fn update(&mut self, id: Option<RequestId>, update: UpdateMessage) -> Result<(), Error> {
        let UpdateMessage {
            message,
            chat,
            user,
            content,
        } = update;
        self.must_be_in(chat)?;
        let which = message.map_or(Which::LatestOf(self.user), Which::Message);
        let caller = Caller::User(self.user);
        let pending = self
            .state
            .messages
            .edit(caller, user, chat, which, content)?;
        self.pending.push_back(Awaited {
            id,
            ack: ack_edited,
            pending,
        });
        Ok(())
    }

    async fn delete(
        &mut self,
        id: Option<RequestId>,
        message: MessageId,
    ) -> Result<Result<(), Error>, Close> {
        self.line.flush().await?;
        let finding = self
            .state
            .messages
            .chat_of(Caller::User(self.user), message);
        let found = time::timeout(STORE_LIMIT, finding).await;
        Ok(found
            .unwrap_or_else(|_| Err(Error::unavailable()))
            .and_then(|chat| {
                self.must_be_in(chat)?;
                let caller = Caller::User(self.user);
                let pending = self.state.messages.delete(caller, None, chat, message)?;
                self.pending.push_back(Awaited {
                    id,
                    ack: ack_deleted,
                    pending,
                });
                Ok(())
            }))
    }

    async fn leave(&mut self, id: Option<RequestId>, chat: ChatId) -> Result<(), Close> {
        let Some(seat) = self.feed.leave(chat) else {
            return self.refuse(id.as_ref(), &Error::not_connected(chat)).await;
        };
        let who = seat.who().cloned();
        drop(seat);
        if let Some(who) = who {
            self.line.gather(Frame::leave(chat, &who)).await?;
        }
        match id {
            Some(id) => self.line.gather(Frame::left(&id, chat)).await,
            None => Ok(()),
        }
    }

    pub(super) fn must_be_in(&self, chat: ChatId) -> Result<(), Error> {
        match self.feed.is_in(chat) {
            true => Ok(()),
            false => Err(Error::not_connected(chat)),
        }
    }
}

fn ack_sent(id: &RequestId, answer: Answer) -> Result<Frame, Error> {
    let duplicate = matches!(answer, Answer::Repeated(_));
    Ok(Frame::sent(id, &answer.into_message()?, duplicate))
}

fn ack_edited(id: &RequestId, answer: Answer) -> Result<Frame, Error> {
    Ok(Frame::edited(id, &answer.into_message()?))
}

fn ack_deleted(id: &RequestId, answer: Answer) -> Result<Frame, Error> {
    Ok(Frame::deleted(id, &answer.into_message()?))
}

/// A read position that was handed in.
pub(super) struct Marked {
    id: Option<RequestId>,
    chat: ChatId,
    marking: Marking,
}

impl Session {
    pub(super) fn type_in(&self, typing: &StartTyping) -> Result<(), Error> {
        self.must_be_in(typing.chat)?;
        Caller::User(self.user).acting_as(typing.user)?;
        self.feed.type_in(typing.chat);
        Ok(())
    }

    pub(super) async fn typed(&mut self, id: Option<RequestId>, chat: ChatId) -> Result<(), Close> {
        match id {
            Some(id) => self.line.gather(Frame::typed(&id, chat)).await,
            None => Ok(()),
        }
    }

    pub(super) fn mark_read(
        &mut self,
        id: Option<RequestId>,
        mark: &MarkRead,
    ) -> Result<(), Error> {
        let MarkRead { chat, message, .. } = *mark;
        self.must_be_in(chat)?;
        Caller::User(self.user).acting_as(mark.user)?;
        let marking = self.state.reads.mark(self.user, chat, message)?;
        self.marks.push_back(Marked { id, chat, marking });
        Ok(())
    }

    /// Answers the read position that was handed in first.
    pub(super) async fn answer_mark(
        &mut self,
        position: Result<MessageId, Error>,
    ) -> Result<(), Close> {
        let Some(Marked { id, chat, .. }) = self.marks.pop_front() else {
            return Ok(());
        };
        match (position, id) {
            (Ok(position), Some(id)) => self.line.gather(Frame::marked(&id, chat, position)).await,
            (Ok(_), None) => Ok(()),
            (Err(error), id) => self.refuse(id.as_ref(), &error).await,
        }
    }
}

/// The answer to the read position that was handed in first; none where there is none.
pub(super) async fn next_mark(marks: &mut VecDeque<Marked>) -> Option<Result<MessageId, Error>> {
    match marks.front_mut() {
        Some(first) => Some(first.marking.answer().await),
        None => None,
    }
}
