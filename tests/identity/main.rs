//! Who people are, and what strangers may cost: names that look alike, passwords on other keyboards,
//! limits for everyone.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod costs;
mod flapping;
mod invisible;
mod names;
mod older_names;
mod passwords;
