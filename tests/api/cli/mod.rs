//! What is done with a server besides serving: copies, accounts, checks; and what its log tells.

mod accounts;
mod archive;
mod commands;
mod copies;
mod log;
mod refusals;
mod story;

use testkit::{Database, Process, Store};

/// The other one.
fn other(store: Store) -> Store {
    match store {
        Store::Sqlite => Store::Postgres,
        Store::Postgres => Store::Sqlite,
    }
}

/// The binary as a server on a database.
async fn serve(database: &Database, settings: &[(&str, &str)]) -> Process {
    let all = [&[("DATABASE_URL", database.url.as_str())], settings].concat();
    Process::start(database.folder.path(), &all).await
}
