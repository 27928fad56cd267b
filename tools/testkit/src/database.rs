//! A database for each test.

use super::{patiently, sql};
use clap::ValueEnum;
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow, sqlite::SqliteRow};
use tempfile::TempDir;

/// The store of a test, of the checker or of the load generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// The embedded file.
    Sqlite,
    /// A new database on the server that TEST_POSTGRES_URL names.
    Postgres,
}

/// A database. Its folder is removed with it; a Postgres database goes with its temporary server.
pub struct Database {
    /// The value of `DATABASE_URL`.
    pub url: String,
    /// The folder of the test.
    pub folder: TempDir,
}

impl Database {
    /// Makes an empty one.
    pub async fn new(store: Store) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = match store {
            Store::Sqlite => format!("sqlite://{}/messaging.db", folder.path().display()),
            Store::Postgres => {
                let server = super::postgres::server_url().await;
                let made = sql::create_database(&server, "test").await;
                made.expect("a database on the Postgres of the tests")
            }
        };
        Self { url, folder }
    }
}

impl Database {
    /// Executes statements beside the server; gives the number of rows that they changed.
    pub async fn execute(&self, statements: impl AsRef<str>) -> u64 {
        let statements = statements.as_ref();
        let done = sql::execute(&self.url, statements).await;
        done.unwrap_or_else(|e| panic!("{statements}: {e}"))
    }

    /// Executes statements that must change a row.
    pub async fn run(&self, statements: &str) {
        let changed = self.execute(statements).await;
        assert!(changed > 0, "nothing changed by {statements}");
    }

    /// The one number that a query beside the server gives.
    pub async fn number(&self, query: impl AsRef<str>) -> i64 {
        let query = query.as_ref();
        let number = sql::number(&self.url, query).await;
        number.unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// The rows of a query beside the server.
    async fn rows<T>(&self, query: &str) -> Vec<T>
    where
        T: Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>,
    {
        let rows = sql::rows(&self.url, query).await;
        rows.unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// The stored passwords, by user id.
    pub async fn stored_passwords(&self) -> Vec<(i64, String)> {
        self.rows("SELECT customer_id, password FROM customer ORDER BY customer_id")
            .await
    }

    /// The stored hashes of tokens, by session id.
    pub async fn stored_token_hashes(&self) -> Vec<Vec<u8>> {
        let query = "SELECT token_hash FROM session ORDER BY session_id";
        let rows: Vec<(Vec<u8>,)> = self.rows(query).await;
        rows.into_iter().map(|row| row.0).collect()
    }

    /// Waits until a query beside the server gives this number. A long job is waited for as long as the
    /// number changes. Each query has a connection of its own, which paces the loop.
    pub async fn until(&self, sql: &str, expected: i64) {
        let mut last = self.number(sql).await;
        while last != expected {
            let change = async {
                loop {
                    match self.number(sql).await {
                        same if same == last => {}
                        other => break other,
                    }
                }
            };
            last = patiently(sql, change).await;
        }
    }

    /// Makes a user a participant of a chat, as if since before memberships took numbers: it takes none.
    pub async fn settle(&self, chat: i64, user: i64) {
        let settle = format!(
            "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
             VALUES ({user}, {chat}, 'participant', '2026-01-01T00:00:00.000000+00:00')"
        );
        self.run(&settle).await;
    }

    /// Appends this number of messages of a user to a chat.
    pub async fn fill(&self, chat: i64, user: i64, messages: i64, text: &str) {
        let numbers = if self.url.starts_with("sqlite") {
            format!(
                "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL \
                 SELECT n + 1 FROM numbers WHERE n < {messages})"
            )
        } else {
            format!("WITH numbers AS (SELECT generate_series(1, {messages}) AS n)")
        };
        let fill = format!(
            "{numbers} INSERT INTO message (chat_id, customer_id, content, sent_at, seq, sent_seq) \
             SELECT {chat}, {user}, '{text}', '2026-01-01T00:00:00.000000+00:00', c.seq + n, c.seq + n \
             FROM numbers, chat c WHERE c.chat_id = {chat} ORDER BY n; \
             UPDATE chat SET seq = seq + {messages} WHERE chat_id = {chat}"
        );
        self.execute(&fill).await;
    }

    /// A connection to the Postgres database.
    pub async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("the test's database")
    }
}
