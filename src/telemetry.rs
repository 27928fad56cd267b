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
    let by_default = if std::io::stdout().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let lines = fmt().with_env_filter(filter).with_target(false);
    match format.unwrap_or(by_default) {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
