//! Lists, searches, sessions and presence, where something changes meanwhile: through the front door,
//! on both stores.

// The harness is shared, and each test crate uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;

mod chats;
mod names;
mod search;
mod sessions;
