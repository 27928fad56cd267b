//! How far members have read.

use super::dialect;
use crate::{
    error::Error,
    model::{ChatId, MessageId, UserId},
    store::Store,
};

/// How far a member has read: up to the message that they marked, or to their own latest, for
/// whoever writes has seen what was there. Of the row `m`; null where there is neither.
macro_rules! read_position {
    () => {
        "(SELECT max(p.message_id) FROM (SELECT m.last_read_message_id AS message_id \
            UNION ALL SELECT max(x.message_id) FROM message x \
            WHERE x.customer_id = m.customer_id AND x.chat_id = m.chat_id) AS p)"
    };
}
pub(super) use read_position;

/// The message sent last to a chat, null where there is none: for a new member, what is unread begins
/// after it.
macro_rules! latest_message {
    ($chat:literal) => {
        concat!(
            "(SELECT max(x.message_id) FROM message x WHERE x.chat_id = ",
            $chat,
            ")"
        )
    };
}
pub(super) use latest_message;

/// A member's wish to have read a chat up to a message.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Who.
    pub user: UserId,
    /// Where.
    pub chat: ChatId,
    /// Up to which message.
    pub message: MessageId,
}

/// A read position that was moved.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Moved {
    /// Whose.
    pub customer_id: UserId,
    /// Where.
    pub chat_id: ChatId,
    /// To which message.
    pub message_id: MessageId,
}

/// How a mark compares with what is stored.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Position {
    /// The user; none where they do not belong to the chat.
    pub member: Option<UserId>,
    /// The message; none where it is not one of the chat.
    pub message: Option<MessageId>,
    /// How far the member has read.
    pub position: Option<MessageId>,
}

/// Moves and reads positions.
#[derive(Clone)]
pub struct PositionRepository(Store);

impl PositionRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Moves read positions, never back, and tells which moved. What names a message that is not
    /// one of the chat, or nobody who belongs to it, moves nothing.
    pub async fn advance(&self, marks: &[Mark]) -> Result<Vec<Moved>, Error> {
        let mut tx = self.0.begin().await?;
        let moved = dialect::mark_read(&mut tx, marks).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// How marks compare with what is stored, in their order.
    pub async fn read(&self, marks: &[Mark]) -> Result<Vec<Position>, Error> {
        Ok(dialect::positions(&self.0, marks).await?)
    }
}
