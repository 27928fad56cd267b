//! What servers do while their Postgres fails over, turns read-only, or is not up yet.

// Each test crate uses a part of the shared harness; a test that cannot go on panics.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;
#[path = "../api/harness/standby.rs"]
mod standby;

mod cluster;
mod load;
mod pgbouncer;
mod pooler;
mod readiness;
mod settings;
mod start;
