//! The log: its filter, its format and its output.

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

/// The target of unsolicited notices from Postgres, for example "relation already exists,
/// skipping".
const NOTICES: &str = "sqlx::postgres::notice";

/// The queue of log lines. Empty if lines are written directly.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The first part of the target of the server's own log lines.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text, for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The output of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Standard output, through a bounded buffer, so that a server does not wait for the reader of
    /// its log.
    Output,
    /// Standard error, without a buffer. A command may wait, and loses no line.
    Errors,
}

/// Starts the log, once per process. Without a format, lines are text on a terminal and JSON
/// otherwise.
///
/// # Errors
/// A sentence, if the thread that writes the log cannot start.
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
    // Colours are for terminals; in a file they are noise.
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(writer);
    let lines = match format.unwrap_or(by_default) {
        LogFormat::Text => lines.boxed(),
        // Without the list of spans, because spans are never nested: the current span is enough.
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

/// Returns the number of log lines dropped since the start because the log was not read.
#[must_use]
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Waits until all log lines are written, at most `limit`. The last step of a process.
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

/// Logs a panic like any other line. The default hook writes to standard error, and would wait for
/// a reader too. A message that was formatted at run time may contain user data and is left out;
/// the source location is enough.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let reason = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, reason, "a part of the server panicked");
}

/// Returns true if a line is of interest to an operator. Tables are created only if they are
/// missing, and Postgres reports each time that they exist.
fn matters(line: &Metadata<'_>) -> bool {
    line.target() != NOTICES || *line.level() <= Level::WARN
}

/// Returns true if a line may be logged, regardless of `LOG`. At detailed levels, libraries log the
/// data they carry: the WebSocket library logs frames with tokens, the NATS library logs the texts
/// of messages. Which libraries do so, and from which level on, changes with their versions. So
/// below `info` only lines of this server are logged, which are known to contain no secrets.
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
    fn only_this_server_logs_below_info() {
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
