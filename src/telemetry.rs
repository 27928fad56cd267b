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
