//! The scenario `growth`: sends every statement of `src/repository` to a large database, and fails if one reads
//! far more rows than it needs. The statements are those of the server, because the scenario calls the
//! repository itself.

mod coverage;
mod fill;
mod requests;
mod watch;

pub use fill::Sizes;

use super::database::{Database, Store};
use messaging_api::{
    database::{Database as Stored, Target},
    error::Error,
    model::ChatId,
};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often a read is repeated. Postgres plans the first five executions of a prepared statement for their
/// values, and may use one plan for all values after that.
const TIMES: usize = 7;
/// The steps of SQLite's virtual machine that a request may take without reading a row: some six statements.
const STEPS: i64 = 4000;
/// The steps of SQLite's virtual machine that each row may take.
const STEPS_PER_ROW: i64 = 60;

/// Builds the database, sends every request, and prints what each has read.
///
/// # Errors
/// A request reads more than it may, or the repository has a method that no request calls.
pub async fn run(store: Store, sizes: Sizes) -> Result<(), String> {
    if sizes.largest * 2 > sizes.messages || sizes.chats < 1000 || sizes.messages < 20_000 {
        return Err(
            "growth needs 20,000 messages and 1,000 chats at least, and a largest chat of half of the \
             messages at most"
                .to_owned(),
        );
    }
    coverage::check()?;
    let database = Database::new(store).await?;
    // Creates the tables.
    let empty = Stored::open(&target(&database, store)?, 1, Duration::ZERO).await?;
    empty.close().await;
    let begun = Instant::now();
    let filled = fill::fill(&database, store, sizes).await;
    filled.map_err(|e| format!("the database cannot be filled: {e}"))?;
    println!(
        "growth: {} messages in {} chats, filled in {:.0} s",
        sizes.messages,
        sizes.chats,
        begun.elapsed().as_secs_f64()
    );
    let stored = Stored::open(&target(&database, store)?, 1, Duration::ZERO).await?;
    let counted = watch::count_steps(&stored).await;
    counted.map_err(|e| format!("the steps of SQLite cannot be counted: {e}"))?;
    store_last_messages(&stored).await?;
    watch::start();
    let mut check = Check {
        store,
        statements: BTreeSet::new(),
        failures: Vec::new(),
    };
    let asked = Box::pin(requests::ask_all(&stored, sizes, &mut check)).await;
    stored.close().await;
    let removed = database.remove().await;
    asked?;
    removed.map_err(|e| format!("the database cannot be removed: {e}"))?;
    println!("growth: {} statements", check.statements.len());
    match check.failures.is_empty() {
        true => Ok(()),
        false => Err(check.failures.join("\n")),
    }
}

/// Lets each chat keep its latest message, as the server does in the background.
async fn store_last_messages(database: &Stored) -> Result<(), String> {
    let begun = Instant::now();
    let mut after = ChatId(0);
    while let Some(last) = database
        .last_messages()
        .step(after)
        .await
        .map_err(|e| format!("the latest messages cannot be stored: {e}"))?
    {
        after = last;
    }
    println!(
        "growth: latest messages stored in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Returns the database of the server. On Postgres each connection explains its statements.
fn target(database: &Database, store: Store) -> Result<Target, String> {
    let options = || database.url.parse::<PgConnectOptions>();
    match store {
        Store::Postgres => {
            let options = options().map_err(|e| format!("TEST_POSTGRES_URL: {e}"))?;
            Ok(Target::Postgres(Box::new(watch::explained(options))))
        }
        Store::Sqlite => {
            let path = database.url.trim_start_matches("sqlite://");
            Ok(Target::Sqlite(PathBuf::from(path)))
        }
    }
}

/// Compares what each request reads with what it may read.
pub struct Check {
    store: Store,
    /// The texts of all statements so far.
    statements: BTreeSet<String>,
    /// The requests that read too much, with their plans.
    failures: Vec<String>,
}

impl Check {
    /// Sends a request once, and compares the rows that it reads with `most`.
    pub async fn once<T>(
        &mut self,
        name: &str,
        most: i64,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, String> {
        let _ = watch::take();
        let begun = Instant::now();
        let answer = request.await;
        let took = begun.elapsed();
        let seen = watch::take();
        let (unit, used, allowed) = match self.store {
            Store::Postgres => ("rows", seen.plans.iter().map(|plan| plan.read).sum(), most),
            Store::Sqlite => ("steps", seen.steps, STEPS + STEPS_PER_ROW * most),
        };
        let line = format!(
            "{name}: {used} of {allowed} {unit}, {:.2} ms",
            took.as_secs_f64() * 1000.0
        );
        println!("{line}");
        if used > allowed {
            let mut shown = vec![format!("growth: {line}")];
            for plan in &seen.plans {
                shown.push(format!("    {}", plan.statement));
                shown.extend(plan.nodes.iter().map(|node| format!("      {node}")));
            }
            if seen.plans.is_empty() {
                shown.extend(seen.statements.iter().map(|text| format!("    {text}")));
            }
            self.failures.push(shown.join("\n"));
        }
        self.statements.extend(seen.statements);
        answer.map_err(|error| format!("{name}: {error:?}"))
    }

    /// Sends a request that only reads `TIMES` times, so that both kinds of plans of Postgres are seen.
    pub async fn often<T>(
        &mut self,
        name: &str,
        most: i64,
        request: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, String> {
        for _ in 1..TIMES {
            self.once(name, most, request()).await?;
        }
        self.once(name, most, request()).await
    }
}
