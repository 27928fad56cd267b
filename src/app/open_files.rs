//! Fits the number of connections to the limit of open files of the process.

use crate::{config::Config, server::MAX_REFUSED};
use std::io;

/// Files besides connections and the database: standard streams, the listener, the runtime, the
/// link, and a reserve for commands that use the control socket.
const OTHER_FILES: u64 = 64;
/// Files of one connection to the database: the SQLite file, its write-ahead log and the index of
/// the log.
const FILES_PER_DATABASE_CONNECTION: u64 = 3;
/// Fewest connections with which a server starts.
const MIN_CONNECTIONS: u64 = 16;

/// Raises the limit of open files to its maximum, and lowers `MAX_CONNECTIONS` if the limit allows
/// fewer. A connection beyond the limit of files cannot be accepted: its client would wait without
/// an answer, instead of an error about a full server.
///
/// # Errors
/// A sentence for the operator if the limit leaves too few connections.
pub fn fit_open_files(config: &Config) -> Result<Config, String> {
    let mut config = config.clone();
    let files = raise_limit().map_err(|e| format!("cannot read the limit of open files: {e}"))?;
    let reserved = reserved_files(&config);
    let room = files.saturating_sub(reserved);
    if room < MIN_CONNECTIONS {
        return Err(format!(
            "the limit of open files is {files}, but the server needs at least {}: raise the limit \
             (ulimit -n, LimitNOFILE=)",
            reserved + MIN_CONNECTIONS
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

/// Returns the number of files besides the connections of clients.
fn reserved_files(config: &Config) -> u64 {
    let database = u64::from(config.database.db_connections) * FILES_PER_DATABASE_CONNECTION;
    OTHER_FILES + MAX_REFUSED as u64 + database
}

/// Raises the soft limit to the hard limit, and returns it. The usual soft limit of 1,024 is far
/// below the number of connections that the server can hold.
fn raise_limit() -> io::Result<u64> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => Ok(files),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            rlimit::Resource::NOFILE.get_soft()
        }
    }
}
