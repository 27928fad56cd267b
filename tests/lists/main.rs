//! Lists, searches, sessions and presence, where something changes meanwhile: through the front door,
//! on both stores.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod chats;
mod names;
mod search;
mod sessions;
