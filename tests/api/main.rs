//! The whole server through its front door: HTTP and WebSocket against a real listener, every test
//! on both stores.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod harness;

mod chats;
mod members;
mod message_lists;
mod messages;
mod repeats;

mod smoke;

mod users;
