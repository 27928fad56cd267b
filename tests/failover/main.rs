//! What servers do while their Postgres fails over, turns read-only, or is not up yet.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod cluster;
mod load;
mod pgbouncer;
mod pooler;
mod readiness;
mod settings;
mod start;
