//! What operators meet: proxies in front, the environment, files with secrets, a move to required mode.

// The harness serves the whole suite; this crate uses a part of it.
#![allow(dead_code, unused_imports)]
// A test that cannot set its scene fails.
#![allow(clippy::expect_used, clippy::unwrap_used)]
// The harness is written for a crate of its own.
#![allow(unreachable_pub)]

mod environment;
#[path = "../api/harness/mod.rs"]
mod harness;
mod proxied_open;
mod proxies;
mod secrets;
mod weak_passwords;
