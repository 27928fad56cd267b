//! What can be asked of the log, and what it answers.

pub(crate) mod access;
mod batch;
mod batcher;
mod contention;
mod cursor;
mod decide;
mod exclusive;
mod feed;
mod membership;
mod reconciler;
mod replay_cache;
mod worker;
mod writer;

use crate::{
    auth::Caller,
    model::{ChatId, ClientMessageId, Content, Message, MessageId, UserId},
};

pub(crate) use batcher::Batcher;
pub use feed::{Feed, FeedAction, FeedStart, Feeds, HubEvent};
pub use membership::{Connected, MembershipLoader};
pub(crate) use membership::{missing, of_this_epoch};
pub use reconciler::{Reconciler, ReconcilerParts};
pub use writer::{Pending, Writer};

/// A change to the log.
#[derive(Clone, Debug)]
pub enum Change {
    /// Send a message.
    Send {
        /// Who calls.
        caller: Caller,
        /// Who sends.
        author: UserId,
        /// Where to.
        chat: ChatId,
        /// What.
        content: Content,
        /// The sender's own name for it.
        key: Option<ClientMessageId>,
        /// What it answers.
        reply_to: Option<MessageId>,
    },
    /// Edit a message.
    Edit {
        /// Who calls.
        caller: Caller,
        /// Who edits; without one, its author.
        actor: Option<UserId>,
        /// Where it is.
        chat: ChatId,
        /// Which.
        which: MessageRef,
        /// The new text.
        content: Content,
    },
    /// Delete a message.
    Delete {
        /// Who calls.
        caller: Caller,
        /// Who deletes; without one, its author.
        actor: Option<UserId>,
        /// Where it is.
        chat: ChatId,
        /// Which.
        message: MessageId,
    },
    /// Delete a user's messages and, once none is left, the user.
    DeleteUser {
        /// Who calls.
        caller: Caller,
        /// The user.
        user: UserId,
    },
    /// Delete a chat and all that is in it.
    DeleteChat {
        /// Who calls.
        caller: Caller,
        /// Which.
        chat: ChatId,
    },
    /// End a membership.
    RemoveMember {
        /// Who calls.
        caller: Caller,
        /// Whose.
        user: UserId,
        /// Where.
        chat: ChatId,
    },
}

/// Which message is meant.
#[derive(Clone, Copy, Debug)]
pub enum MessageRef {
    /// The one of that id.
    Message(MessageId),
    /// The latest of that user in the chat.
    LatestOf(UserId),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The message after the change.
    Message(Box<Message>),
    /// The message that was stored before under the same name, in its present state.
    Duplicate(Box<Message>),
    /// It is gone.
    Deleted,
    /// So many messages went with it that more are left: ask again.
    Incomplete,
}

impl Change {
    /// The chat whose log it goes to; none for what stands alone.
    #[must_use]
    pub(super) fn chat(&self) -> Option<ChatId> {
        match self {
            Self::Send { chat, .. } | Self::Edit { chat, .. } | Self::Delete { chat, .. } => {
                Some(*chat)
            }
            Self::DeleteUser { .. } | Self::DeleteChat { .. } | Self::RemoveMember { .. } => None,
        }
    }

    /// How long its text is.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Send { content, .. } | Self::Edit { content, .. } => content.as_str().len(),
            _ => 0,
        }
    }

    /// Who calls.
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

    /// Who acts, where that is said.
    pub(super) fn actor(&self) -> Option<UserId> {
        match self {
            Self::Send { author, .. } => Some(*author),
            Self::Edit { actor, .. } | Self::Delete { actor, .. } => *actor,
            Self::DeleteUser { .. } | Self::DeleteChat { .. } | Self::RemoveMember { .. } => None,
        }
    }
}
