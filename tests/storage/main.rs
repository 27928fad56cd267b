//! What happens to data on disks and databases that misbehave.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod busy;
mod commits;
mod deleted;
mod failing_disk;
mod replaced;
mod start;
