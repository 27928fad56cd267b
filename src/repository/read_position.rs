//! Read positions: the message up to which each member has read a chat. Serves read marks and unread counts.

use super::{
    chat::chat_exists,
    list::{Rows, rows},
    row::from_row,
};
use crate::{
    database::{Database, DatabaseTransaction, on},
    error::Error,
    model::{ChatId, MessageId, UserId},
};
use sqlx::{Result, query_as_with};

/// Builds the read position of the membership row `m`: the later of the marked message and the member's own
/// latest message, because a member who writes has seen the chat. Null if there is no such message.
macro_rules! read_position {
    () => {
        concat!(
            "(SELECT max(p.message_id) FROM (SELECT m.last_read_message_id AS message_id \
            UNION ALL SELECT (",
            $crate::repository::message::latest_of!("m.customer_id", "m.chat_id", ">= 1"),
            ") UNION ALL SELECT (",
            $crate::repository::message::latest_of!("m.customer_id", "m.chat_id", "<= 0"),
            ")) AS p)"
        )
    };
}
pub(super) use read_position;

/// Request of a member to mark a chat as read up to a message.
#[derive(Clone, Copy, Debug)]
pub struct ReadMark {
    /// Id of the member.
    pub user: UserId,
    /// Id of the chat.
    pub chat: ChatId,
    /// Last message that the member has read.
    pub message: MessageId,
}

/// A read position that moved forward.
#[derive(Clone, Copy, Debug)]
pub struct MovedPosition {
    /// Id of the member.
    pub customer_id: UserId,
    /// Id of the chat.
    pub chat_id: ChatId,
    /// New read position: the last message that the member has read.
    pub message_id: MessageId,
}

from_row!(MovedPosition {
    customer_id,
    chat_id,
    message_id
});

/// Stored facts about a `ReadMark`. They tell why a mark moved nothing.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Id of the user; null if the user is not a member of the chat.
    pub member: Option<UserId>,
    /// Id of the marked message; null if the chat has no such message.
    pub message: Option<MessageId>,
    /// Stored read position; null if the member has neither marked nor sent a message.
    pub position: Option<MessageId>,
}

from_row!(Position {
    member,
    message,
    position
});

/// Reads and advances read positions.
#[derive(Clone, Copy)]
pub struct ReadPositionRepository<'a>(pub(super) &'a Database);

impl ReadPositionRepository<'_> {
    /// Moves read positions forward and returns the positions that moved. A mark is ignored if it lies at or
    /// before the read position, if its message is not in the chat or if its user is not a member of the
    /// chat.
    pub async fn advance(self, marks: &[ReadMark]) -> Result<Vec<MovedPosition>, Error> {
        let mut tx = self.0.begin().await?;
        let moved = mark_read(&mut tx, marks).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Returns the stored facts about each mark, in the order of `marks`.
    pub async fn read(self, marks: &[ReadMark]) -> Result<Vec<Position>, Error> {
        const POSTGRES: &str = concat!(
            "SELECT m.customer_id AS member, x.message_id AS message, ",
            read_position!(),
            " AS position FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) \
                WITH ORDINALITY AS k (u, c, m, n) \
            LEFT JOIN customer_chat m ON m.customer_id = k.u AND m.chat_id = k.c AND ",
            chat_exists!("m.chat_id"),
            " LEFT JOIN message x ON x.message_id = k.m AND x.chat_id = k.c ORDER BY k.n"
        );
        const SQLITE: &str = concat!(
            "SELECT m.customer_id AS member, x.message_id AS message, ",
            read_position!(),
            " AS position FROM json_each($1) AS k \
            LEFT JOIN customer_chat m ON m.customer_id = k.value ->> 0 AND m.chat_id = k.value ->> 1 \
                AND ",
            chat_exists!("m.chat_id"),
            " LEFT JOIN message x ON x.message_id = k.value ->> 2 AND x.chat_id = k.value ->> 1 \
            ORDER BY k.key"
        );
        let marks = mark_rows(marks);
        let found = on!(read self.0, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, marks)
            .fetch_all(db)
            .await)?;
        Ok(found)
    }
}

/// Moves read positions forward and returns the positions that moved. Postgres first locks the membership
/// rows in order of user and chat. Deletions of users and chats lock rows in that order too, so that no
/// deadlock occurs.
async fn mark_read(tx: &mut DatabaseTransaction, marks: &[ReadMark]) -> Result<Vec<MovedPosition>> {
    const POSTGRES: &str = concat!(
        "WITH asked AS (SELECT k.u, k.c, max(k.m) AS message_id \
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (u, c, m) \
            JOIN message x ON x.message_id = k.m AND x.chat_id = k.c GROUP BY k.u, k.c), \
        held AS (SELECT m.customer_id, m.chat_id, asked.message_id FROM customer_chat m \
            JOIN asked ON m.customer_id = asked.u AND m.chat_id = asked.c \
            WHERE asked.message_id > coalesce(m.last_read_message_id, 0) AND ",
        chat_exists!("m.chat_id"),
        " ORDER BY m.customer_id, m.chat_id FOR NO KEY UPDATE OF m) \
        UPDATE customer_chat AS m SET last_read_message_id = held.message_id FROM held \
        WHERE m.customer_id = held.customer_id AND m.chat_id = held.chat_id \
            AND held.message_id > coalesce(",
        read_position!(),
        ", 0) RETURNING m.customer_id, m.chat_id, m.last_read_message_id AS message_id"
    );
    const SQLITE: &str = concat!(
        "UPDATE customer_chat AS m SET last_read_message_id = asked.message_id FROM ( \
            SELECT k.value ->> 0 AS u, k.value ->> 1 AS c, max(k.value ->> 2) AS message_id \
            FROM json_each($1) AS k JOIN message x \
            ON x.message_id = k.value ->> 2 AND x.chat_id = k.value ->> 1 GROUP BY 1, 2) AS asked \
        WHERE m.customer_id = asked.u AND m.chat_id = asked.c AND ",
        chat_exists!("m.chat_id"),
        " AND asked.message_id > coalesce(",
        read_position!(),
        ", 0) RETURNING customer_id, chat_id, last_read_message_id AS message_id"
    );
    on!(tx tx, [POSTGRES, SQLITE], |sql, db| query_as_with(sql, mark_rows(marks))
        .fetch_all(db)
        .await)
}

/// Returns the marks as parameters: user, chat, message.
fn mark_rows(marks: &[ReadMark]) -> Rows<3> {
    rows(marks, |mark| [mark.user.0, mark.chat.0, mark.message.0])
}
