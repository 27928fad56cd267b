//! What a batch writes, one statement a table.

use super::{column, json};
use crate::{
    model::{ChatId, Message, MessageId, Timestamp},
    repository::{Head, NewMessage},
    store::StoreTransaction,
};
use sqlx::{Result, query, query_scalar};

/// Stores messages and moves the heads; on Postgres in one statement, because each is a round trip
/// for which the chats are locked.
pub(in crate::repository) async fn append(
    tx: &mut StoreTransaction,
    rows: &[NewMessage],
    heads: &[Head],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    const POSTGRES: &str = "WITH moved AS (UPDATE chat AS c SET seq = h.seq \
            FROM unnest($8::bigint[], $9::bigint[]) AS h (id, seq) WHERE c.chat_id = h.id) \
        INSERT INTO message (chat_id, customer_id, content, sent_at, seq, sent_seq, reply_to, \
            client_message_id) \
        SELECT chat, author, content, $1, seq, seq, reply_to, key \
        FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) \
            WITH ORDINALITY AS r (chat, author, content, seq, reply_to, key, n) \
        ORDER BY n RETURNING message_id";
    match tx {
        StoreTransaction::Postgres(tx) => {
            query_scalar(POSTGRES)
                .bind(now.get())
                .bind(column(rows, |r| r.chat.0))
                .bind(column(rows, |r| r.author.0))
                .bind(column(rows, |r| r.content.as_str()))
                .bind(column(rows, |r| r.seq.0))
                .bind(column(rows, |r| r.reply_to.map(|id| id.0)))
                .bind(column(rows, |r| r.key.as_ref().map(|key| key.as_str())))
                .bind(column(heads, |h| h.chat_id.0))
                .bind(column(heads, |h| h.seq.0))
                .fetch_all(&mut **tx)
                .await
        }
        StoreTransaction::Sqlite(inner) => {
            let ids = insert(inner, rows, now).await?;
            advance(tx, heads).await?;
            Ok(ids)
        }
    }
}

async fn insert(
    tx: &mut sqlx::SqliteConnection,
    rows: &[NewMessage],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    const SQLITE: &str = "INSERT INTO message (chat_id, customer_id, content, sent_at, seq, \
            sent_seq, reply_to, client_message_id) \
        SELECT value ->> 0, value ->> 1, value ->> 2, $1, value ->> 3, value ->> 3, value ->> 4, \
            value ->> 5 \
        FROM json_each($2) ORDER BY key RETURNING message_id";
    let rows = json(rows, |r| {
        let key = r.key.as_ref().map(|key| key.as_str());
        let reply_to = r.reply_to.map(|id| id.0);
        (
            r.chat.0,
            r.author.0,
            r.content.as_str(),
            r.seq.0,
            reply_to,
            key,
        )
    });
    let query = query_scalar(SQLITE).bind(now.get()).bind(rows);
    query.fetch_all(tx).await
}

pub(in crate::repository) async fn update(
    tx: &mut StoreTransaction,
    rows: &[Message],
) -> Result<()> {
    const POSTGRES: &str = "UPDATE message AS m SET content = r.content, seq = r.seq, \
            edited_at = r.edited_at, deleted_at = r.deleted_at, deleted_by = r.deleted_by \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], \
            $5::timestamptz[], $6::bigint[], $7::bigint[]) \
            AS r (id, content, seq, edited_at, deleted_at, deleted_by, chat) \
        WHERE m.message_id = r.id AND m.chat_id = r.chat";
    const SQLITE: &str = "UPDATE message SET content = r.value ->> 1, seq = r.value ->> 2, \
            edited_at = r.value ->> 3, deleted_at = r.value ->> 4, deleted_by = r.value ->> 5 \
        FROM json_each($1) AS r \
        WHERE message_id = r.value ->> 0 AND chat_id = r.value ->> 6";
    match tx {
        StoreTransaction::Postgres(tx) => {
            query(POSTGRES)
                .bind(column(rows, |m| m.message_id.0))
                .bind(column(rows, |m| m.content.as_deref()))
                .bind(column(rows, |m| m.seq.0))
                .bind(column(rows, |m| m.edited_at.map(Timestamp::get)))
                .bind(column(rows, |m| m.deleted_at.map(Timestamp::get)))
                .bind(column(rows, |m| m.deleted_by.map(|user| user.0)))
                .bind(column(rows, |m| m.chat_id.0))
                .execute(&mut **tx)
                .await?;
        }
        StoreTransaction::Sqlite(tx) => {
            let rows = json(rows, |m| {
                let edited = m.edited_at.map(Timestamp::to_column_text);
                let deleted = m.deleted_at.map(Timestamp::to_column_text);
                let by = m.deleted_by.map(|user| user.0);
                (
                    m.message_id.0,
                    m.content.as_deref(),
                    m.seq.0,
                    edited,
                    deleted,
                    by,
                    m.chat_id.0,
                )
            });
            query(SQLITE).bind(rows).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

pub(in crate::repository) async fn advance(
    tx: &mut StoreTransaction,
    heads: &[Head],
) -> Result<()> {
    const POSTGRES: &str = "UPDATE chat AS c SET seq = r.seq \
        FROM unnest($1::bigint[], $2::bigint[]) AS r (id, seq) WHERE c.chat_id = r.id";
    const SQLITE: &str = "UPDATE chat SET seq = r.value ->> 1 FROM json_each($1) AS r \
                          WHERE chat_id = r.value ->> 0";
    match tx {
        StoreTransaction::Postgres(tx) => {
            let query = query(POSTGRES).bind(column(heads, |h| h.chat_id.0));
            query
                .bind(column(heads, |h| h.seq.0))
                .execute(&mut **tx)
                .await?;
        }
        StoreTransaction::Sqlite(tx) => {
            let rows = json(heads, |h| (h.chat_id.0, h.seq.0));
            query(SQLITE).bind(rows).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

/// Moves the chats' heads to the last number that their messages have.
pub(in crate::repository) async fn advance_to_last(
    tx: &mut StoreTransaction,
    chats: &[ChatId],
) -> Result<()> {
    const POSTGRES: &str = "UPDATE chat SET seq = (SELECT max(seq) FROM message m \
        WHERE m.chat_id = chat.chat_id) WHERE chat_id = ANY($1)";
    const SQLITE: &str = "UPDATE chat SET seq = (SELECT max(seq) FROM message m \
        WHERE m.chat_id = chat.chat_id) WHERE chat_id IN (SELECT value FROM json_each($1))";
    match tx {
        StoreTransaction::Postgres(tx) => {
            query(POSTGRES)
                .bind(column(chats, |c| c.0))
                .execute(&mut **tx)
                .await?;
        }
        StoreTransaction::Sqlite(tx) => {
            query(SQLITE)
                .bind(json(chats, |c| c.0))
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}
