//! The binary: start and stop, settings, and its commands.

mod accounts;
mod archive;
mod commands;
mod database_copies;
mod import_refusals;
mod sample_data;
mod settings;
mod start;

use testkit::{Database, Process, Store};

/// The other one.
fn other(store: Store) -> Store {
    match store {
        Store::Sqlite => Store::Postgres,
        Store::Postgres => Store::Sqlite,
    }
}

/// The binary as a server on a database.
pub(crate) async fn serve(database: &Database, settings: &[(&str, &str)]) -> Process {
    let all = [&[("DATABASE_URL", database.url.as_str())], settings].concat();
    Process::start(database.folder.path(), &all).await
}
