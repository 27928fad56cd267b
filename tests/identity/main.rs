//! Who people are, and what strangers may cost: names that look alike, passwords on other keyboards,
//! limits for everyone.

// The harness is that of `tests/api`, of which this crate uses a part; a test may panic.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;

mod costs;
mod flapping;
mod invisible;
mod names;
mod older_names;
mod passwords;
