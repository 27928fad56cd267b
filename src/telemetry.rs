//! The log.

use clap::ValueEnum;
use std::io::{self, IsTerminal};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::filter_fn,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

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
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// Starts logging, once for the process; without a format, one that suits whoever reads it.
pub fn start(filter: &str, format: Option<LogFormat>, to: LogTo) {
    let filter = EnvFilter::new(filter);
    let (terminal, writer) = match to {
        LogTo::Output => (io::stdout().is_terminal(), BoxMakeWriter::new(io::stdout)),
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
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(tells_no_secrets));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
}

/// Whether a line may be logged at any level. Below warnings the WebSocket library logs the frames
/// themselves: the texts of messages, and the tokens of whoever connects.
fn tells_no_secrets(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::WARN || !line.target().starts_with("tungstenite")
}
