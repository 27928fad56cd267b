//! The write path and the delivery path of messages. Services submit changes to the writer, which commits and
//! publishes them; feeds deliver the published changes to sockets; the reconciler makes up for lost events.

pub(crate) mod access;
mod answer_queue;
mod batch;
mod batcher;
mod contention;
mod cursor;
mod decide;
mod exclusive;
mod feed;
mod membership;
mod reconciler;
mod replay;
mod replay_cache;
mod retry;
mod submission;
mod writer;

use crate::{
    auth::Caller,
    error::{Code, Error},
    model::{ChatId, Content, Message, MessageId, NewMessage, UserId},
    repository::DeletionCursor,
};

pub use answer_queue::{AckBuilder, AnswerQueue, TakenAnswer};
pub(crate) use batcher::Batcher;
pub use feed::{Feed, FeedAction, FeedLimits, FeedStart, Feeds, HubEvent, ReplayFrames};
pub use membership::{Connected, MembershipLoader};
pub(crate) use membership::{missing, require_epoch};
pub use reconciler::Reconciler;
pub use submission::{Pending, Submission};
pub use writer::Writer;

/// A change to the message log or to the chats and users around it, as submitted to the writer.
#[derive(Clone, Debug)]
pub enum Change {
    /// Send a message.
    Send {
        /// The caller of the request.
        caller: Caller,
        /// The message. Its author is the acting user.
        message: NewMessage,
    },
    /// Edit a message.
    Edit {
        /// The caller of the request.
        caller: Caller,
        /// The user who edits. Null if none is named: the edit then counts as the author's.
        actor: Option<UserId>,
        /// The chat of the message.
        chat: ChatId,
        /// The message to edit.
        which: MessageRef,
        /// The new text.
        content: Content,
    },
    /// Delete a message.
    Delete {
        /// The caller of the request.
        caller: Caller,
        /// The user who deletes. Null if none is named: the deletion then counts as the author's.
        actor: Option<UserId>,
        /// The chat of the message.
        chat: ChatId,
        /// The message to delete.
        message: MessageId,
    },
    /// Delete a user's messages, then the memberships, a limited number per change, and at last the user.
    DeleteUser {
        /// The caller of the request.
        caller: Caller,
        /// The user to delete.
        user: UserId,
        /// The place where the last change of this deletion has ended.
        after: DeletionCursor,
    },
    /// Delete a chat with its messages and memberships.
    DeleteChat {
        /// The caller of the request.
        caller: Caller,
        /// The chat to delete.
        chat: ChatId,
    },
    /// End a user's membership in a chat.
    RemoveMember {
        /// The caller of the request.
        caller: Caller,
        /// The member to remove.
        user: UserId,
        /// The chat that the member is removed from.
        chat: ChatId,
    },
}

/// A reference to the message that an edit changes.
#[derive(Clone, Copy, Debug)]
pub enum MessageRef {
    /// The message with this id.
    Message(MessageId),
    /// The user's latest message in the chat that is not deleted.
    LatestOf(UserId),
}

/// The result of a change that was accepted.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The message after the change.
    Message(Box<Message>),
    /// The message that is already stored under the idempotency key, in its present state. Nothing new was
    /// stored.
    Duplicate(Box<Message>),
    /// The user, the chat or the membership is deleted.
    Deleted,
    /// One step of a long user deletion was committed. The caller submits the next change, after this place.
    Incomplete(DeletionCursor),
}

/// The answers to the changes of a batch, in the order of the changes.
type Answers = Vec<Result<Outcome, Error>>;

impl Outcome {
    /// Returns the message of the outcome.
    ///
    /// # Errors
    /// `internal` if the outcome has no message: a fault of this server.
    pub fn into_message(self) -> Result<Message, Error> {
        match self {
            Self::Message(message) | Self::Duplicate(message) => Ok(*message),
            Self::Deleted | Self::Incomplete(_) => Err(Error::new(
                Code::Internal,
                "The server failed: the answer contains no message",
            )),
        }
    }
}

impl Change {
    /// The chat with the log that the change is written to. Null for an exclusive change, which never shares a
    /// transaction.
    #[must_use]
    pub(super) fn chat(&self) -> Option<ChatId> {
        match self {
            Self::Send { message, .. } => Some(message.chat),
            Self::Edit { chat, .. } | Self::Delete { chat, .. } => Some(*chat),
            Self::DeleteUser { .. } | Self::DeleteChat { .. } | Self::RemoveMember { .. } => None,
        }
    }

    /// The length of the new text in bytes; 0 for a change without text.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Send { message, .. } => message.content.as_str().len(),
            Self::Edit { content, .. } => content.as_str().len(),
            _ => 0,
        }
    }

    /// The caller of the request.
    pub(super) fn caller(&self) -> Caller {
        match self {
            Self::Send { caller, .. } | Self::Edit { caller, .. } | Self::Delete { caller, .. } => {
                *caller
            }
            Self::DeleteUser { caller, .. }
            | Self::DeleteChat { caller, .. }
            | Self::RemoveMember { caller, .. } => *caller,
        }
    }

    /// The acting user. Null if the change names none, and for exclusive changes.
    pub(super) fn actor(&self) -> Option<UserId> {
        match self {
            Self::Send { message, .. } => Some(message.author),
            Self::Edit { actor, .. } | Self::Delete { actor, .. } => *actor,
            Self::DeleteUser { .. } | Self::DeleteChat { .. } | Self::RemoveMember { .. } => None,
        }
    }
}
