//! Rows of the model: which columns its values are read from.

use crate::model::{Chat, ChatMember, Member, Message, Session, User};

/// Implements `FromRow` of both databases for a struct. The fields in braces are read from the columns of their
/// names. The fields in brackets are structs that are read from the same row.
macro_rules! from_row {
    ($row:ident { $($field:ident),* $(,)? } $([$($part:ident),*])?) => {
        $crate::repository::row::from_row!(@ sqlx::postgres::PgRow, $row { $($field),* } $([$($part),*])?);
        $crate::repository::row::from_row!(@ sqlx::sqlite::SqliteRow, $row { $($field),* } $([$($part),*])?);
    };
    (@ $columns:ty, $row:ident { $($field:ident),* } $([$($part:ident),*])?) => {
        impl sqlx::FromRow<'_, $columns> for $row {
            fn from_row(row: &$columns) -> sqlx::Result<Self> {
                Ok(Self {
                    $($field: sqlx::Row::try_get(row, stringify!($field))?,)*
                    $($($part: sqlx::FromRow::from_row(row)?,)*)?
                })
            }
        }
    };
}
pub(super) use from_row;

from_row!(User {
    customer_id,
    username,
    created_at
});
from_row!(Session {
    session_id,
    created_at,
    last_used_at,
    expires_at,
    user_agent,
    current
});
from_row!(Chat {
    chat_id,
    chat_name,
    created_at,
    topic,
    data
});
from_row!(Member {
    customer_id,
    chat_id,
    role,
    joined_at
});
from_row!(ChatMember { role, joined_at }[user]);
from_row!(Message {
    message_id,
    chat_id,
    customer_id,
    username,
    content,
    seq,
    sent_at,
    edited_at,
    deleted_at,
    reply_to,
    client_message_id,
    sent_seq,
    deleted_by,
});
