//! The log.

use crate::config::{Config, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging to standard output, once for the process.
pub fn start(config: &Config) {
    let filter = EnvFilter::new(&config.log);
    let by_default = if std::io::stdout().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let lines = fmt().with_env_filter(filter).with_target(false);
    match config.log_format.unwrap_or(by_default) {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
