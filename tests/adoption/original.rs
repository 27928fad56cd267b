//! Databases of the original, as its script made them and as people altered them.

use sqlx::Connection;
use testkit::{Database, ORIGINAL_TABLES, Server, Store};

/// Rows of an ordinary database of the original.
const ROWS: &str = "
INSERT INTO customer (username, password) VALUES ('carl', 'secret'), ('sigmund', 'Zug'), ('gustav', 'x');
INSERT INTO chat (chat_name) VALUES ('general'), ('random');
INSERT INTO customer_chat (customer_id, chat_id, role) VALUES (1, 1, 'admin'), (2, 1, 'participant'), (3, 2, 'participant');
INSERT INTO message (chat_id, customer_id, content) SELECT 1 + n % 2, 1 + n % 3, 'text ' || n FROM generate_series(1, 30) n;";

/// The tables without a constraint, and with rows that the constraints would refuse.
const LAX: &str = "
CREATE TABLE customer (customer_id serial, username varchar(255), password varchar(255), created_at timestamptz);
CREATE TABLE chat (chat_id serial, chat_name text, created_at timestamptz);
CREATE TABLE customer_chat (customer_id int, chat_id int, role varchar(50), joined_at timestamptz);
CREATE TABLE message (message_id serial, chat_id int, customer_id int, content text, sent_at timestamptz);
INSERT INTO customer (username, password) VALUES ('carl', 'secret'), (NULL, 'x'), ('user 2', NULL), ('dora', '');
INSERT INTO chat (chat_name) VALUES ('general'), (NULL);
INSERT INTO customer_chat (customer_id, chat_id, role) VALUES
    (1, 1, NULL), (2, 1, 'participant'), (2, 1, 'admin'), (2, 1, NULL), (3, 2, 'owner'),
    (99, 1, 'admin'), (1, 99, 'admin'), (NULL, 1, 'admin'), (4, NULL, NULL);
INSERT INTO message (chat_id, customer_id, content) VALUES
    (1, 1, 'one'), (1, NULL, 'of no one'), (1, 2, NULL), (1, 99, 'of who was'), (2, 3, 'last');";

/// The script of an ordinary database of the original.
fn ordinary() -> String {
    [ORIGINAL_TABLES, ROWS].concat()
}

async fn database_of(sql: &str) -> Database {
    let database = Database::new(Store::Postgres).await;
    database.execute(sql.to_owned()).await;
    database
}

/// All that a database holds and is: its tables, columns, constraints, and rows.
async fn whole(database: &Database) -> Vec<String> {
    let mut db = database.postgres().await;
    let mut all = Vec::new();
    for sql in [
        "SELECT string_agg(format('%s %s %s', relname, relkind, relowner), ' ' ORDER BY relname) FROM pg_class
         WHERE relnamespace = 'public'::regnamespace",
        "SELECT string_agg(format('%s.%s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull), ' '
            ORDER BY attrelid, attnum)
         FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
         WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped",
        "SELECT coalesce(string_agg(conname || pg_get_constraintdef(oid), ' ' ORDER BY conname), '') FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace",
        "SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t))::text, '') FROM customer t",
        "SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t))::text, '') FROM message t",
    ] {
        let query = sqlx::query_scalar(sql).fetch_one(&mut db).await;
        all.push(query.unwrap_or_else(|e| e.to_string()));
    }
    all
}

/// Alterations of the original's database that must be refused, and the words of the refusal.
const OBSTACLES: &[(&str, &str)] = &[
    (
        "CREATE VIEW latest AS SELECT * FROM message",
        "the view latest reads the table message",
    ),
    (
        "CREATE MATERIALIZED VIEW people AS SELECT username FROM customer",
        "the view people reads the table customer",
    ),
    (
        "CREATE TABLE attachment (message_id int REFERENCES message)",
        "attachment refers to message",
    ),
    (
        "CREATE TABLE invoice (customer_id int REFERENCES customer)",
        "keeps a row of customer from being deleted",
    ),
    (
        "ALTER TABLE message DROP CONSTRAINT message_pkey; ALTER TABLE message ALTER message_id DROP DEFAULT; \
         ALTER TABLE message ALTER message_id TYPE text",
        "message.message_id is of type text, and must be of type integer or bigint",
    ),
    (
        "ALTER TABLE message ALTER sent_at TYPE timestamp",
        "message.sent_at is of type timestamp without time zone",
    ),
    (
        "ALTER TABLE chat RENAME chat_name TO title",
        "the table chat has no column chat_name",
    ),
    (
        "DROP TABLE message",
        "but no message: name another database",
    ),
    (
        "DROP TABLE message; CREATE VIEW message AS SELECT 1 AS message_id",
        "message is no table",
    ),
    (
        "ALTER TABLE customer ADD COLUMN email text NOT NULL DEFAULT ''; ALTER TABLE customer ALTER email DROP DEFAULT",
        "customer.email is NOT NULL without a default",
    ),
    (
        "ALTER TABLE customer_chat ADD CHECK (role IN ('admin', 'participant', 'owner'))",
        "the constraint customer_chat_role_check",
    ),
    (
        "ALTER TABLE chat ADD UNIQUE (chat_name)",
        "the unique index chat_chat_name_key",
    ),
    (
        "ALTER TABLE customer ALTER customer_id DROP DEFAULT; DROP SEQUENCE customer_customer_id_seq",
        "customer.customer_id has no sequence",
    ),
    (
        "UPDATE customer SET customer_id = -1 WHERE customer_id = 1",
        "an id of a user is not from 1 to 2^53 - 1 (customer_id -1)",
    ),
    (
        "UPDATE message SET sent_at = 'infinity' WHERE message_id > 28",
        "a message's send time is not in the years 1 to 9999 (2 times, first with message_id 29)",
    ),
    (
        "UPDATE chat SET created_at = '200000-01-01' WHERE chat_id = 2",
        "a chat's creation time is not in the years 1 to 9999 (chat_id 2)",
    ),
    (
        "ALTER TABLE customer DROP CONSTRAINT customer_username_key; UPDATE customer SET username = 'carl' WHERE customer_id = 2",
        "a name belongs to several users",
    ),
    (
        "ALTER TABLE message DROP CONSTRAINT fk_msg_chat; UPDATE message SET chat_id = 77 WHERE message_id = 5",
        "a message belongs to a chat that does not exist (message_id 5)",
    ),
    (
        "UPDATE chat SET chat_name = ''",
        "a chat's name does not have 1 to 255 characters",
    ),
    (
        "UPDATE message SET content = repeat('x', 1048577) WHERE message_id = 3",
        "a message has more than 1 MiB of text (message_id 3)",
    ),
    // What no look has found comes to light in a step, and takes all of them back.
    (
        "CREATE TABLE session (session_id int)",
        "relation \"session\" already exists",
    ),
    (
        "ALTER TABLE message ADD COLUMN deleted_at text",
        "\"deleted_at\"",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn what_stands_in_the_way_is_said_and_nothing_is_changed() {
    for (altered, words) in OBSTACLES {
        let database = database_of(&ordinary()).await;
        database.execute((*altered).to_owned()).await;
        let before = whole(&database).await;
        let refused = database.command(&["migrate"]).await;
        refused.expect_failure(&["cannot prepare the database", words]);
        assert_eq!(whole(&database).await, before, "{altered}");
        let late = words.contains("already exists") || words.contains("deleted_at");
        let check = database.command(&["check"]).await;
        match late {
            true => assert!(check.text().contains("the original program"), "{check:?}"),
            false => drop(check.expect_failure(&[words])),
        }
        assert_eq!(whole(&database).await, before, "{altered}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn check_finds_nothing_wrong_with_the_originals_own() {
    let database = database_of(&ordinary()).await;
    let found = database.command(&["check"]).await;
    assert!(
        found
            .text()
            .contains("tables: those of the original program"),
        "{found:?}"
    );
    found.expect_success();
    database.command(&["migrate"]).await.expect_success();
    let found = database.command(&["check"]).await;
    assert!(found.text().contains("tables: up to date"), "{found:?}");
    found.expect_success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn tables_that_somebody_uses_are_given_up_after_a_while() {
    let database = database_of(&ordinary()).await;
    let before = whole(&database).await;
    let mut original = database.postgres().await;
    let mut writing = original.begin().await.expect("a transaction");
    sqlx::query("UPDATE customer SET password = 'other'")
        .execute(&mut *writing)
        .await
        .expect("a statement");
    let refused = database.command(&["migrate"]).await;
    refused.expect_failure(&["in use", "stop the original program first"]);
    writing.rollback().await.expect("a rollback");
    assert_eq!(whole(&database).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_takeover_that_is_killed_leaves_the_original_as_it_ran() {
    let database = database_of(&ordinary()).await;
    let before = whole(&database).await;
    // Holds the last table back, so that the kill comes in the middle.
    let mut holder = database.postgres().await;
    let mut holding = holder.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE message IN ROW EXCLUSIVE MODE")
        .execute(&mut *holding)
        .await
        .expect("a lock");
    let (mut migrating, _stdin) = database.begin_command(&["migrate"]);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    database.until(waiting, 1).await;
    migrating.kill().await.expect("a killed takeover");
    holding.rollback().await.expect("a rollback");
    assert_eq!(whole(&database).await, before);
    database.command(&["migrate"]).await.expect_success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn what_is_missing_is_filled_in_and_nothing_answers_500() {
    let server = Server::start_on(database_of(LAX).await, &[]).await;
    let client = server.client();
    let names = client.list("/user").await;
    let names: Vec<&str> = names
        .iter()
        .filter_map(|u| u["username"].as_str())
        .collect();
    assert_eq!(names, ["carl", "user 2_", "user 2", "dora"]);
    let chats = client.list("/chat").await;
    assert_eq!(chats[1]["chatName"], "chat 2");
    for (chat, expected) in [
        (1, &[(1, "participant"), (2, "admin")][..]),
        (2, &[(3, "participant")]),
    ] {
        let members = client.list(&format!("/user/chat/{chat}")).await;
        let found: Vec<(i64, &str)> = members
            .iter()
            .filter_map(|m| Some((m["customerId"].as_i64()?, m["role"].as_str()?)))
            .collect();
        assert_eq!(found, expected, "{chat}");
    }
    for path in [
        "/user/1/chat",
        "/chat/1/message",
        "/user/2/chat",
        "/user/username/carl",
    ] {
        client.get(path).await.expect(200);
    }
    let messages = client.list("/chat/1/message?since=0").await;
    let found: Vec<(Option<i64>, Option<&str>, bool)> = messages
        .iter()
        .map(|m| {
            (
                m["customerId"].as_i64(),
                m["content"].as_str(),
                m["deletedAt"].is_null(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (Some(1), Some("one"), true),
            (None, Some("of no one"), true),
            (Some(2), None, false),
            (None, Some("of who was"), true),
        ]
    );
    client.say(1, 1, "next").await;
    // What the missing keys would have seen to.
    let again = serde_json::json!({ "username": "carl", "password": "correct horse" });
    client
        .post("/user", again)
        .await
        .expect_error(409, "username_taken");
    client.delete("/user/2").await.expect(204);
    let left = "SELECT count(*) FROM customer_chat WHERE customer_id = 2";
    assert_eq!(server.database.number(left.to_owned()).await, 0);
    client.delete("/chat/2").await.expect(204);
    server.stop().await;
}

/// One that an earlier version took over, gaps and all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn gaps_in_a_database_that_was_taken_over_before_are_filled_too() {
    let database = database_of(&ordinary()).await;
    database.command(&["migrate"]).await.expect_success();
    let earlier = "DELETE FROM _sqlx_migrations WHERE version = 8; DROP INDEX customer_plain; \
        ALTER TABLE chat DROP COLUMN empty_since; \
        ALTER TABLE customer_chat ALTER role DROP NOT NULL; UPDATE customer_chat SET role = NULL; \
        ALTER TABLE customer ALTER password DROP NOT NULL; UPDATE customer SET password = NULL; \
        ALTER TABLE message ALTER sent_at DROP NOT NULL; UPDATE message SET sent_at = NULL";
    database.execute(earlier.to_owned()).await;
    let server = Server::start_on(database, &[]).await;
    let client = server.client();
    for path in ["/user/chat/1", "/user/1/chat", "/chat/1/message"] {
        client.get(path).await.expect(200);
    }
    let login = serde_json::json!({ "username": "carl", "password": "secret" });
    client
        .post("/login", login)
        .await
        .expect_error(401, "unauthorized");
    server.stop().await;
}
