//! The scenario `growth`: sends every statement of `src/repository` to a large database, and fails if one reads
//! far more rows than it needs. The statements are those of the server, because the scenario calls the
//! repository itself.

mod coverage;
mod fill;
mod requests;
mod watch;

pub use fill::{LARGEST, MEMBER_OF_ALL, Sizes};

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
    sizes.check()?;
    coverage::check()?;
    let database = Database::new(store).await?;
    fill_new("growth", &database, store, sizes).await?;
    let target = target(&database, store, watch::explained)?;
    let stored = Stored::open(&target, 1, Duration::ZERO).await?;
    let counted = watch::count_steps(&stored).await;
    counted.map_err(|e| format!("the steps of SQLite cannot be counted: {e}"))?;
    store_last_messages("growth", &stored).await?;
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

/// Creates the tables of a new database and fills them. `scenario` is named in the output.
///
/// # Errors
/// The database refuses it.
pub async fn fill_new(
    scenario: &str,
    database: &Database,
    store: Store,
    sizes: Sizes,
) -> Result<(), String> {
    let begun = Instant::now();
    open(database, store).await?.close().await;
    let filled = fill::fill(database, store, sizes).await;
    filled.map_err(|e| format!("the database cannot be filled: {e}"))?;
    println!(
        "{scenario}: {} messages in {} chats, filled in {:.0} s",
        sizes.messages,
        sizes.chats,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Opens the database of the server. This creates the tables of a new one.
///
/// # Errors
/// The database cannot be opened.
pub async fn open(database: &Database, store: Store) -> Result<Stored, String> {
    let target = target(database, store, |options| options)?;
    Stored::open(&target, 1, Duration::ZERO).await
}

/// Lets each chat keep its latest message, as the server does in the background. `scenario` is named in the output.
///
/// # Errors
/// The database refuses it.
pub async fn store_last_messages(scenario: &str, database: &Stored) -> Result<(), String> {
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
        "{scenario}: latest messages stored in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Returns the database of the server. `change` changes the options of the connections to Postgres.
fn target(
    database: &Database,
    store: Store,
    change: impl Fn(PgConnectOptions) -> PgConnectOptions,
) -> Result<Target, String> {
    let options = || database.url.parse::<PgConnectOptions>();
    match store {
        Store::Postgres => {
            let options = options().map_err(|e| format!("TEST_POSTGRES_URL: {e}"))?;
            Ok(Target::Postgres(Box::new(change(options))))
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
