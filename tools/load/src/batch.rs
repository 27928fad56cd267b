//! The second yardstick: the rate at which Postgres stores batches that one connection writes.
//! Each batch is one transaction into a message table with only its two foreign keys.

use super::{
    database::{Database, Store},
    marker::{CONTENT, Marker},
};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

/// Rows of one batch.
const ROWS: usize = 100;
/// The number of members of the chat, which write in turn.
const MEMBERS: i32 = 10;

const TABLES: &str = "
    CREATE TABLE customer (customer_id serial PRIMARY KEY, username varchar(255) NOT NULL UNIQUE);
    CREATE TABLE chat (chat_id serial PRIMARY KEY, chat_name varchar(255) NOT NULL);
    CREATE TABLE message (
        message_id serial PRIMARY KEY,
        chat_id int NOT NULL REFERENCES chat ON DELETE CASCADE ON UPDATE CASCADE,
        customer_id int NOT NULL REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
        content text NOT NULL,
        sent_at timestamptz NOT NULL DEFAULT now());
    INSERT INTO customer (username) SELECT 'user' || n FROM generate_series(1, 10) n;
    INSERT INTO chat (chat_name) VALUES ('chat')";

/// The number of committed rows per second.
pub async fn rows_per_second(lasts: Duration) -> Result<f64, String> {
    let database = Database::new(Store::Postgres).await?;
    let rate = insert(&database.url, lasts).await;
    let removed = database.remove().await;
    let failed = |e: sqlx::Error| format!("the batch inserts failed: {e}");
    removed.map_err(failed).and(rate.map_err(failed))
}

async fn insert(url: &str, lasts: Duration) -> Result<f64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    let content = String::from_utf8_lossy(&Marker::default().content()).into_owned();
    debug_assert_eq!(content.len(), CONTENT);
    let contents = vec![content; ROWS];
    let chats = vec![1_i32; ROWS];
    let authors: Vec<i32> = (1..=MEMBERS).cycle().take(ROWS).collect();
    let begin = Instant::now();
    let mut rows = 0;
    while begin.elapsed() < lasts {
        let done = sqlx::query(
            "INSERT INTO message (chat_id, customer_id, content) \
             SELECT * FROM unnest($1::int[], $2::int[], $3::text[])",
        )
        .bind(&chats)
        .bind(&authors)
        .bind(&contents)
        .execute(&mut connection)
        .await?;
        rows += done.rows_affected();
    }
    let rate = rows as f64 / begin.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}
