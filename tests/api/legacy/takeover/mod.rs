//! A database of the original is taken over with everything in it.

mod afterwards;
mod start;

use sqlx::{Connection, PgConnection};
use testkit::{Database, ORIGINAL_TABLES, Store};

/// Users 1, 3, 4, 5 (2 and 6 were deleted), chats 1, 2 and 4 (3 was deleted, 4 is empty), and 400
/// messages in turns in chats 1 and 2, loaded with ids of their own that leave holes and leave the
/// sequence behind. Their times run against their ids, and have microseconds.
const ROWS: &str = "
INSERT INTO chat (chat_name, created_at) VALUES
    ('general', '2021-03-04 05:06:07.000001+00'), ('random', '2021-03-04 05:06:07.999999+00'),
    ('gone', now()), ('empty', '1999-12-31 23:59:59.5+00');
DELETE FROM chat WHERE chat_name = 'gone';
INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) VALUES
    (1, 1, 'admin', '2021-03-05 00:00:00.123456+00'), (3, 1, 'participant', '2021-03-06 00:00:00+00'),
    (3, 2, 'owner', '2021-03-07 00:00:00.000001+00'), (4, 2, 'admin', '2021-03-08 00:00:00+00');
INSERT INTO message (message_id, chat_id, customer_id, content, sent_at)
    SELECT n * 3 + 7, 1 + n % 2, (ARRAY[1, 3, 4])[1 + n % 3], 'text ' || n || ' ü ''quoted''',
        timestamptz '2022-01-01 00:00:00.000123+00' - n * interval '1 minute 0.010007 seconds'
    FROM generate_series(1, 400) AS n;";

const PASSWORDS: [(i64, &str, &str); 4] = [
    (1, "carl", "secret"),
    (3, "O'Brien", "it's \"quoted\" päss 名 \\ %"),
    (
        4,
        "clever",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    ),
    (5, "marked", "plain:plain:"),
];

/// Fills a new database as the original would have.
async fn original() -> Database {
    let database = Database::new(Store::Postgres).await;
    let mut db = connect(&database).await;
    sqlx::raw_sql(ORIGINAL_TABLES)
        .execute(&mut db)
        .await
        .expect("tables");
    let users = [("gone", "x"), ("gone last", "x")].map(|(name, password)| (0, name, password));
    let [second, last] = users;
    let [first, rest @ ..] = PASSWORDS;
    for (_, name, password) in [&[first, second], rest.as_slice(), &[last]].concat() {
        const SQL: &str = "INSERT INTO customer (username, password, created_at)
            VALUES ($1, $2, timestamptz '2020-02-02 02:02:02.020202+00' + random() * interval '1 day')";
        let insert = sqlx::query(SQL).bind(name).bind(password);
        insert.execute(&mut db).await.expect("a user");
    }
    sqlx::raw_sql("DELETE FROM customer WHERE username LIKE 'gone%'")
        .execute(&mut db)
        .await
        .expect("holes");
    sqlx::raw_sql(ROWS).execute(&mut db).await.expect("rows");
    database
}

/// Waits until no password is stored as it came.
async fn until_hashed(database: &Database) {
    let plain = "SELECT count(*) FROM customer WHERE password LIKE 'plain:%'";
    database.until(plain, 0).await;
}

async fn connect(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url)
        .await
        .expect("Postgres")
}

/// Everything that the original kept besides passwords, to the microsecond.
async fn kept(database: &Database) -> Vec<String> {
    let mut db = connect(database).await;
    let mut tables = Vec::new();
    for rows in [
        "SELECT customer_id, username, created_at FROM customer ORDER BY customer_id",
        "SELECT chat_id, chat_name, created_at FROM chat ORDER BY chat_id",
        "SELECT customer_id, chat_id, role, joined_at FROM customer_chat ORDER BY 1, 2",
        "SELECT message_id, chat_id, customer_id, content, sent_at FROM message ORDER BY 1",
    ] {
        let sql = format!("SELECT jsonb_agg(to_jsonb(t))::text FROM ({rows}) t");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        tables.push(query.fetch_one(&mut db).await.expect("rows"));
    }
    tables
}
