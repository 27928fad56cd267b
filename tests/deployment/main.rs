//! What operators meet: proxies in front, the environment, files with secrets, a move to required mode.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod environment;
mod proxied_open;
mod proxies;
mod secrets;
mod weak_passwords;
