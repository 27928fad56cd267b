//! Counts what a statement reads: rows on Postgres, by `auto_explain`, and steps of the virtual machine on
//! SQLite, by its progress handler. Both work on the statements of the server as it sends them.

use messaging_api::database::{Database, DatabaseTransaction, PgConnectOptions};
use serde_json::Value;
use std::{
    fmt,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::filter_fn,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// The target of the events with the plans of Postgres.
const NOTICES: &str = "sqlx::postgres::notice";
/// The target of the events with the texts of statements.
const QUERIES: &str = "sqlx::query";

/// The plans and the statements since the last call of `take`.
static SEEN: LazyLock<Mutex<Seen>> = LazyLock::new(Mutex::default);
/// The steps of SQLite's virtual machine since the last call of `take`.
static STEPS: AtomicI64 = AtomicI64::new(0);

/// What the database did.
#[derive(Debug, Default)]
pub struct Seen {
    /// The plans of Postgres, with the rows that each node read.
    pub plans: Vec<Plan>,
    /// The texts of the statements.
    pub statements: Vec<String>,
    /// The steps of SQLite's virtual machine.
    pub steps: i64,
}

/// An executed plan of Postgres.
#[derive(Debug)]
pub struct Plan {
    /// The text of the statement.
    pub statement: String,
    /// The number of rows that scans read, with the rows that a filter removed.
    pub read: i64,
    /// The plan, one line for each node.
    pub nodes: Vec<String>,
}

/// Begins to collect the events of sqlx. Called once.
pub fn start() {
    let ours = filter_fn(|event| [NOTICES, QUERIES].contains(&event.target()));
    tracing_subscriber::registry()
        .with(Collector.with_filter(ours))
        .init();
}

/// Returns what was seen since the last call.
pub fn take() -> Seen {
    let mut seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    seen.steps = STEPS.swap(0, Ordering::Relaxed);
    seen
}

/// Returns options that make Postgres send the plan of each statement to the client.
pub fn explained(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_nested_statements", "on"),
        ("auto_explain.log_format", "json"),
        ("auto_explain.log_level", "notice"),
    ])
}

/// Counts the steps on the connections of an SQLite database.
pub async fn count_steps(database: &Database) -> sqlx::Result<()> {
    let Database::Sqlite(embedded) = database else {
        return Ok(());
    };
    let count = || {
        STEPS.fetch_add(1, Ordering::Relaxed);
        true
    };
    let mut reader = embedded.readers().acquire().await?;
    reader.lock_handle().await?.set_progress_handler(1, count);
    if let Ok(DatabaseTransaction::Sqlite(mut writer)) = database.begin().await {
        writer.lock_handle().await?.set_progress_handler(1, count);
    }
    Ok(())
}

/// A layer that keeps the plans and the statements.
struct Collector;

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        match event.metadata().target() {
            NOTICES => seen.plans.extend(Plan::parse(&text.message)),
            _ if text.statement.is_empty() => seen.statements.push(text.summary),
            _ => seen.statements.push(text.statement.trim().to_owned()),
        }
    }
}

/// The fields of an event.
#[derive(Default)]
struct Text {
    message: String,
    summary: String,
    statement: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }
}

impl Plan {
    /// Parses a notice of `auto_explain`: a line with the duration, then the plan as JSON.
    fn parse(notice: &str) -> Option<Self> {
        let json = notice.get(notice.find('{')?..)?;
        let plan: Value = serde_json::from_str(json).ok()?;
        let mut parsed = Self {
            statement: plan["Query Text"].as_str()?.to_owned(),
            read: 0,
            nodes: Vec::new(),
        };
        parsed.add(&plan["Plan"], 0);
        Some(parsed)
    }

    fn add(&mut self, node: &Value, depth: usize) {
        let number = |name: &str| node[name].as_f64().unwrap_or_default();
        let loops = number("Actual Loops");
        let removed = number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck")
            + number("Rows Removed by Join Filter");
        let read = (number("Actual Rows") + removed) * loops;
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let relation = node["Relation Name"].as_str().unwrap_or_default();
        let index = node["Index Name"].as_str().unwrap_or_default();
        // A bitmap index scan is counted with its heap scan, except for the entries that the heap scan drops.
        let is_scan = kind.ends_with("Scan") && (!relation.is_empty() || !index.is_empty());
        if is_scan {
            self.read += read as i64;
        }
        if loops > 0.0 {
            let indent = "  ".repeat(depth);
            self.nodes
                .push(format!("{indent}{kind} {relation} {index} rows={read}"));
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.add(child, depth + 1);
        }
    }
}
