//! The binary as an operator meets it: its start and end, its log, its tasks, its limits.

// The harness is shared with other test crates, and this one uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;

mod floods;
mod half_closed;
mod limits;
mod log;
mod metrics;
mod start;
mod times;
