//! A database of its own for every test.

use super::patiently;
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Which store a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The embedded file.
    Sqlite,
    /// A database on the server that `TEST_POSTGRES_URL` names, or on one started for the tests.
    Postgres,
}

/// An empty database; its folder goes with it, its server is a temporary one.
pub struct Database {
    /// What `DATABASE_URL` would be.
    pub url: String,
    /// A folder that only this test uses.
    pub folder: TempDir,
}

impl Database {
    /// Makes one.
    pub async fn new(store: Store) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = match store {
            Store::Sqlite => format!("sqlite://{}/messaging.db", folder.path().display()),
            Store::Postgres => new_postgres_database().await,
        };
        Self { url, folder }
    }
}

/// Makes a database on the server of the tests and gives its URL.
async fn new_postgres_database() -> String {
    let server = super::postgres::server_url().await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&server)
        .await
        .expect("the Postgres of the tests");
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create)
        .execute(&mut connection)
        .await
        .expect("a new database");
    connection.close().await.expect("a closed connection");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}

impl Database {
    /// Executes a statement beside the server.
    pub async fn execute(&self, sql: String) {
        let sql = sqlx::AssertSqlSafe(sql);
        if self.url.starts_with("sqlite") {
            let mut connection = self.sqlite().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
        } else {
            let mut connection = self.postgres().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
        }
        .expect("a statement beside the server");
    }

    /// The one number that a query beside the server gives.
    pub async fn number(&self, sql: String) -> i64 {
        let sql = sqlx::AssertSqlSafe(sql);
        if self.url.starts_with("sqlite") {
            let mut connection = self.sqlite().await;
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        } else {
            let mut connection = self.postgres().await;
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        }
        .expect("a number")
    }

    /// Waits until a query beside the server gives this number. Each look is a connection of its own,
    /// which paces the loop.
    pub async fn until(&self, sql: &str, expected: i64) {
        let reached = async { while self.number(sql.to_owned()).await != expected {} };
        patiently(sql, reached).await;
    }

    /// Puts so many messages of a user into a chat, at its end.
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
        self.execute(fill).await;
    }

    /// A connection of the test's own.
    pub async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("the test's database")
    }

    async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url)
            .await
            .expect("the test's database")
    }
}
