//! The binary's commands beside a running server, and the files that they and the server write.

// The harness is shared, and each test crate uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;

mod control;
mod files;

use harness::{Database, Process};

/// The binary as a server on a database, where everyone signs in.
async fn serve(database: &Database) -> Process {
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("AUTH", "required"),
    ];
    Process::start(database.folder.path(), &settings).await
}
