//! What a socket tells of the moment: that its user types, and how far they have read.

use super::session::Session;
use crate::{
    auth::Caller,
    error::Error,
    model::{ChatId, MessageId},
    protocol::{Close, Frame, MarkRead, RequestId, StartTyping},
    service::Marking,
};
use std::collections::VecDeque;

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
