//! How many connections the limit of open files allows.

use crate::{config::Config, server::TURNED_AWAY};
use std::io;

/// Files that are open besides connections and the database: standard streams, the listener, the
/// runtime's own, the link's, what a command beside the server may need.
const OTHERS: u64 = 64;
/// Files of one connection to the database: SQLite has the file, its log and its index open.
const OF_DATABASE_CONNECTION: u64 = 3;
/// Fewest connections that are worth a start.
const LEAST: u64 = 16;

/// Raises the limit of open files as far as it goes, and lowers `MAX_CONNECTIONS` to what it allows: a
/// connection beyond it would not be told that the server is full, it would wait for ever.
///
/// # Errors
/// A sentence where the limit leaves no room for connections.
pub fn fit_open_files(config: &Config) -> Result<Config, String> {
    let mut config = config.clone();
    let files = raise().map_err(|e| format!("cannot read the limit of open files: {e}"))?;
    let others = others(&config);
    let room = files.saturating_sub(others);
    if room < LEAST {
        return Err(format!(
            "the limit of open files is {files}, but the server needs at least {}: raise the limit \
             (ulimit -n, LimitNOFILE=)",
            others + LEAST
        ));
    }
    if room < u64::from(config.max_connections) {
        tracing::warn!(
            files,
            asked = config.max_connections,
            connections = room,
            "MAX_CONNECTIONS is lowered, because the limit of open files allows no more: raise the \
             limit (ulimit -n, LimitNOFILE=), or set a lower MAX_CONNECTIONS"
        );
        config.max_connections = u32::try_from(room).unwrap_or(u32::MAX);
    }
    Ok(config)
}

fn others(config: &Config) -> u64 {
    let database = u64::from(config.database.db_connections) * OF_DATABASE_CONNECTION;
    OTHERS + TURNED_AWAY as u64 + database
}

/// The limit after it was raised: the usual soft one of 1,024 is far below what the server can hold.
fn raise() -> io::Result<u64> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => Ok(files),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            rlimit::Resource::NOFILE.get_soft()
        }
    }
}
