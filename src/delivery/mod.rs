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
    error::Error,
    model::{
        Chat, ChatId, ChatUpdate, Content, Member, Message, MessageId, NewMessage, Role, UserId,
    },
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
    /// Make users participants of chats to which they connect.
    Join {
        /// The users and their chats. Existing memberships stay as they are.
        pairs: Vec<(UserId, ChatId)>,
    },
    /// Make a user a member of a chat, or change the role of a member.
    SetMember {
        /// The caller of the request.
        caller: Caller,
        /// The member.
        user: UserId,
        /// The chat.
        chat: ChatId,
        /// The role. Null keeps the role of a member; a new member becomes a participant.
        role: Option<Role>,
        /// The most chats that a user may belong to; null without a limit.
        most: Option<u32>,
    },
    /// Make the member with the earliest join the admin of a chat that has none.
    AppointEldest {
        /// The chat.
        chat: ChatId,
    },
    /// Change the name, the topic or the data of a chat.
    UpdateChat {
        /// The caller of the request.
        caller: Caller,
        /// The chat.
        chat: ChatId,
        /// The new values.
        update: ChatUpdate,
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
    /// The membership after the change. True if it is new.
    Member(Member, bool),
    /// The users are members of the chats.
    Joined,
    /// The new admin of a chat; null if the chat has an admin or no member.
    Appointed(Option<UserId>),
    /// The chat after the change.
    Chat(Box<Chat>),
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
            _ => Err(unexpected("a message")),
        }
    }

    /// Returns the membership of the outcome, and true if it is new.
    ///
    /// # Errors
    /// `internal` if the outcome has no membership: a fault of this server.
    pub fn into_member(self) -> Result<(Member, bool), Error> {
        match self {
            Self::Member(member, new) => Ok((member, new)),
            _ => Err(unexpected("a membership")),
        }
    }

    /// Returns the chat of the outcome.
    ///
    /// # Errors
    /// `internal` if the outcome has no chat: a fault of this server.
    pub fn into_chat(self) -> Result<Chat, Error> {
        match self {
            Self::Chat(chat) => Ok(*chat),
            _ => Err(unexpected("a chat")),
        }
    }
}

/// The error for an outcome of another kind than that of its change.
fn unexpected(missing: &str) -> Error {
    Error::internal(format!("the answer of the writer is not {missing}"))
}

impl Change {
    /// The chat with the log that the change is written to. Null for an exclusive change, which never shares a
    /// transaction.
    #[must_use]
    pub(super) fn chat(&self) -> Option<ChatId> {
        match self {
            Self::Send { message, .. } => Some(message.chat),
            Self::Edit { chat, .. } | Self::Delete { chat, .. } => Some(*chat),
            _ => None,
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

    /// The acting user. Null if the change names none, and for exclusive changes.
    pub(super) fn actor(&self) -> Option<UserId> {
        match self {
            Self::Send { message, .. } => Some(message.author),
            Self::Edit { actor, .. } | Self::Delete { actor, .. } => *actor,
            _ => None,
        }
    }
}
