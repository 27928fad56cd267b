//! The binary's commands beside a running server, and the files that they and the server write.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod control;
mod files;

use testkit::{Database, Process};

/// The binary as a server on a database, where everyone signs in.
async fn serve(database: &Database) -> Process {
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
    ];
    Process::start(database.folder.path(), &settings).await
}
