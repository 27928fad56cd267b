//! The log.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard output, once for the process; without a format, one that suits
/// whoever reads it.
pub fn start(filter: &str, format: Option<LogFormat>) {
    let filter = EnvFilter::new(filter);
    let terminal = std::io::stdout().is_terminal();
    let by_default = if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let lines = fmt().with_env_filter(filter).with_target(false);
    // Colours are for people; in a file they are noise.
    let lines = if terminal {
        lines
    } else {
        lines.with_ansi(false)
    };
    match format.unwrap_or(by_default) {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
