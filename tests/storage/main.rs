//! What happens to data on disks and databases that misbehave.

// The harness is shared with other tests and offers more than these use; a test that cannot go on
// panics.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

mod busy;
mod commits;
mod deleted;
#[path = "../faults/disk.rs"]
mod disk;
mod failing_disk;
#[path = "../api/harness/mod.rs"]
mod harness;
mod replaced;
mod start;
