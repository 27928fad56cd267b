//! The binary as an operator meets it: its start and end, its log, its tasks, its limits.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod floods;
mod half_closed;
mod limits;
mod log;
mod metrics;
mod start;
mod times;
