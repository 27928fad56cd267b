//! The whole server through its front door: HTTP and WebSocket against a real listener, on both
//! stores. Each folder is one subject; `cargo test --test api chats::` runs one.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod chats;
mod cli;
mod cluster;
mod delivery;
mod docs;
mod legacy;
mod limits;
mod members;
mod messages;
mod monitoring;
mod permissions;
mod presence;
mod read_receipts;
mod security;
mod sessions;
mod smoke;
mod users;
mod validation;
mod websocket;
