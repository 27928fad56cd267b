//! A database of its own for every test.

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Which store a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The embedded file.
    Sqlite,
    /// A database on the server that `TEST_POSTGRES_URL` names.
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

/// Makes a database on the test server and gives its URL.
async fn new_postgres_database() -> String {
    let server = std::env::var("TEST_POSTGRES_URL").expect(
        "TEST_POSTGRES_URL is missing: it names a Postgres server whose user may create databases; \
         scripts/test starts one",
    );
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&server)
        .await
        .expect("Postgres at TEST_POSTGRES_URL");
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create)
        .execute(&mut connection)
        .await
        .expect("a new database");
    connection.close().await.expect("a closed connection");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}
