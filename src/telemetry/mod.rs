//! The log.

mod queue;

use clap::ValueEnum;
use queue::Queue;
use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    panic,
    sync::OnceLock,
    time::Duration,
};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::filter_fn,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What Postgres remarks without being asked, as its driver logs it: "relation already exists, skipping".
const NOTICES: &str = "sqlx::postgres::notice";

/// The server's log on its way to the reader; empty where lines are written directly.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What the targets of this server's own lines begin with.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Standard output, through a bounded buffer: a server does not wait for the reader of its log.
    Output,
    /// Standard error, directly: a command may wait, and loses no line.
    Errors,
}

/// Starts logging, once for the process. Without a format: text on a terminal, else JSON.
///
/// # Errors
/// A sentence where the thread that writes the log cannot be started.
pub fn start(filter: &str, format: Option<LogFormat>, to: LogTo) -> Result<(), String> {
    let filter = EnvFilter::new(filter);
    let (terminal, writer) = match to {
        LogTo::Output => {
            let queue = queue().map_err(|e| format!("cannot write the log: {e}"))?;
            panic::set_hook(Box::new(log_panic));
            (io::stdout().is_terminal(), BoxMakeWriter::new(queue))
        }
        LogTo::Errors => (io::stderr().is_terminal(), BoxMakeWriter::new(io::stderr)),
    };
    let by_default = if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    // Colours are for people; in a file they are noise.
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(writer);
    let lines = match format.unwrap_or(by_default) {
        LogFormat::Text => lines.boxed(),
        // The span once, not also in a list of spans: no span stands in another.
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let lines = lines.with_filter(filter_fn(|line| tells_no_secrets(line) && matters(line)));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(())
}

/// Lines of the log that were dropped since the start, because the log was not read.
#[must_use]
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Waits until the log is written, and no longer than `limit`: the last thing that a process does.
pub fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limit);
    }
}

fn queue() -> io::Result<Queue> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let queue = Queue::start(out)?;
    Ok(QUEUE.get_or_init(|| queue).clone())
}

/// A panic is a line of the log like any other: on standard error, where it stands by default, it would
/// wait for a reader too. A message that was put together at run time may hold what people wrote, and
/// is left out; the place tells enough.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let reason = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, reason, "panicked: a fault of the server");
}

/// Whether a line says something to an operator. The tables are made where they are missing, and
/// Postgres remarks each time that they are not.
fn matters(line: &Metadata<'_>) -> bool {
    line.target() != NOTICES || *line.level() <= Level::WARN
}

/// Whether a line may be logged, whatever `LOG` says. In detail, libraries log what they carry: the one
/// for WebSockets its frames, with tokens in them, the one for NATS what it sends and gets, the texts of
/// messages. Which of them do, and from which level on, changes with their versions; so below `info` only
/// this server itself is heard, which is known to keep secrets.
fn tells_no_secrets(line: &Metadata<'_>) -> bool {
    is_quiet(*line.level(), line.target())
}

fn is_quiet(level: Level, target: &str) -> bool {
    level <= Level::INFO || target.split("::").next() == Some(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_server_is_heard_in_detail() {
        assert!(is_quiet(Level::TRACE, "messaging_api::service::login"));
        assert!(is_quiet(Level::INFO, "async_nats"));
        for target in [
            "async_nats::connection",
            "tungstenite::protocol",
            "messaging_apix",
        ] {
            assert!(!is_quiet(Level::DEBUG, target), "{target}");
        }
    }
}
