//! A new database for every run. SQL fills it, so that the server has no load before the measurement.

use tempfile::TempDir;
use testkit::sql;

pub use testkit::Store;

/// An empty database. Dropping it deletes the folder; a Postgres database has to be removed with
/// `remove`.
pub struct Database {
    /// The value of `DATABASE_URL`.
    pub url: String,
    /// A folder that only this run uses.
    pub folder: TempDir,
    store: Store,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

impl Database {
    /// Creates a database.
    pub async fn new(store: Store) -> std::result::Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
        let url = match store {
            Store::Sqlite => format!("sqlite://{}/messaging.db", folder.path().display()),
            Store::Postgres => {
                let server = postgres()?;
                let made = sql::create_database(&server, "load").await;
                made.map_err(|e| format!("no database at TEST_POSTGRES_URL: {e}"))?
            }
        };
        Ok(Self { url, folder, store })
    }

    /// Creates chats and their members, after a server has created the tables. User and chat ids begin
    /// at 1. The users are ordered by their chat.
    pub async fn fill(&self, chats: usize, members: usize) -> Result<()> {
        let users = chats * members;
        let numbers = |to: usize| {
            format!(
                "WITH RECURSIVE number(n) AS \
                 (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {to})"
            )
        };
        let since = "'2026-01-01T00:00:00.000+00:00'";
        let statements = [
            format!(
                "INSERT INTO customer (customer_id, username, password, created_at) {} \
                 SELECT n, 'user' || n, 'none', {since} FROM number",
                numbers(users)
            ),
            format!(
                "INSERT INTO chat (chat_id, chat_name, created_at) {} \
                 SELECT n, 'chat' || n, {since} FROM number",
                numbers(chats)
            ),
            format!(
                "INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) {} \
                 SELECT n, (n - 1) / {members} + 1, 'participant', {since} FROM number",
                numbers(users)
            ),
        ];
        for statement in &statements {
            sql::execute(&self.url, statement).await?;
        }
        Ok(())
    }

    /// The number of stored messages.
    pub async fn messages(&self) -> Result<u64> {
        let count = sql::number(&self.url, "SELECT count(*) FROM message").await?;
        Ok(count.unsigned_abs())
    }

    /// Drops the database.
    pub async fn remove(self) -> Result<()> {
        match (self.store, self.url.rsplit_once('/'), postgres()) {
            (Store::Postgres, Some((_, name)), Ok(server)) => {
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                sql::execute(&server, &drop).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

fn postgres() -> std::result::Result<String, String> {
    let missing =
        "TEST_POSTGRES_URL is missing: run this beside a Postgres, by scripts/with-postgres";
    std::env::var("TEST_POSTGRES_URL").map_err(|_| missing.to_owned())
}
