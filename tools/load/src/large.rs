//! A large database for a running server: that of the scenario `growth` with further chats and users, with sessions,
//! and with a complete search index.

use super::{
    caller::Caller,
    database::{Database, Store},
    growth::{self, Sizes},
};
use messaging_api::{
    auth::SessionToken,
    database::Database as Stored,
    model::{ChatId, Timestamp, UserId},
    repository::{MAX_INDEXED_CHATS, NewSession},
};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use testkit::sql;

/// The lifetime of the sessions.
const SESSION: Duration = Duration::from_secs(24 * 60 * 60);

/// A filled database, which no server has open.
pub struct LargeDatabase {
    /// The database.
    pub database: Database,
    /// The tokens of users, by id.
    tokens: HashMap<i64, String>,
}

/// The parts of a large database that a scenario chooses.
pub struct Layout {
    /// The scenario's name, for the output.
    pub scenario: &'static str,
    /// The sizes.
    pub sizes: Sizes,
    /// The statements that add chats and users.
    pub additions: Vec<String>,
    /// The users who get a session.
    pub users: Vec<i64>,
}

impl LargeDatabase {
    /// Builds a database. This takes minutes with the default sizes.
    pub async fn build(store: Store, layout: Layout) -> Result<Self, String> {
        let Layout {
            scenario,
            sizes,
            additions,
            users,
        } = layout;
        sizes.check()?;
        let database = Database::new(store).await?;
        growth::fill_new(scenario, &database, store, sizes).await?;
        let stored = growth::open(&database, store).await?;
        growth::store_last_messages(scenario, &stored).await?;
        stored.close().await;
        add(&database.url, store, additions)
            .await
            .map_err(|e| format!("the database cannot be completed: {e}"))?;
        let stored = growth::open(&database, store).await?;
        let mut tokens = HashMap::new();
        for user in users {
            tokens.insert(user, begin_session(&stored, user).await?);
        }
        index(scenario, &stored).await?;
        stored.close().await;
        if store == Store::Postgres {
            for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
                let done = sql::execute(&database.url, statement).await;
                done.map_err(|e| format!("{statement}: {e}"))?;
            }
        }
        Ok(Self { database, tokens })
    }

    /// Returns a user with a session, at this address.
    pub fn caller(&self, user: i64, address: Ipv4Addr) -> Caller {
        let token = self.tokens.get(&user).cloned();
        Caller { address, token }
    }

    /// Drops the database.
    pub async fn remove(self) -> Result<(), String> {
        let removed = self.database.remove().await;
        removed.map_err(|e| format!("the database cannot be removed: {e}"))
    }
}

/// Executes statements. Foreign keys and triggers of Postgres do not run, as in the fill.
async fn add(url: &str, store: Store, additions: Vec<String>) -> sqlx::Result<()> {
    let mut statements = additions.join(";\n");
    // These sessions are too old. The server would remove them all at once during the measurement.
    statements.push_str(";\nDELETE FROM session");
    if store == Store::Postgres {
        statements.insert_str(0, "SET session_replication_role = replica;\n");
        for (table, column) in [
            ("customer", "customer_id"),
            ("chat", "chat_id"),
            ("message", "message_id"),
        ] {
            statements.push_str(&format!(
                ";\nSELECT setval(pg_get_serial_sequence('{table}', '{column}'), \
                    (SELECT max({column}) FROM {table}))"
            ));
        }
    }
    sql::execute(url, &statements).await.map(drop)
}

/// Begins a session and returns its token.
async fn begin_session(database: &Stored, user: i64) -> Result<String, String> {
    let token = SessionToken::generate().map_err(|e| e.to_string())?;
    let now = Timestamp::now();
    let new = NewSession {
        user: UserId(user),
        proved: "!".to_owned(),
        rehashed: None,
        alone: false,
        token_hash: token.hash(),
        created_at: now,
        expires_at: now.after(SESSION),
        user_agent: None,
    };
    let begun = database.sessions().begin(&new, |_| 0).await;
    let begun = begun.map_err(|e| format!("no session of user {user}: {e}"))?;
    begun.ok_or_else(|| format!("no session of user {user}"))?;
    Ok(token.reveal().to_owned())
}

/// Fills the search index without the rests that the server takes.
async fn index(scenario: &str, database: &Stored) -> Result<(), String> {
    let failed = |e| format!("the search index cannot be filled: {e}");
    let begun = Instant::now();
    let (index, mut after) = (database.search_index(), ChatId(0));
    while let Some(compared) = index.compare(after).await.map_err(failed)? {
        let mut waiting = compared.stale;
        while !waiting.is_empty() {
            let later = waiting.split_off(waiting.len().min(MAX_INDEXED_CHATS));
            let step = index.step(&waiting, false).await.map_err(failed)?;
            waiting = [step.behind, step.left, later].concat();
        }
        after = compared.last;
    }
    println!(
        "{scenario}: search index filled in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
