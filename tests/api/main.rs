//! The whole server through its front door: HTTP and WebSocket against a real listener, every test
//! on both stores.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod doubt;
mod harness;

mod bad_frames;
mod bad_input;
mod browsers;
mod chats;
mod deleted_users;
mod delivery;
mod frames;
mod hub;
mod limits;
mod members;
mod message_changes;
mod message_lists;
mod messages;
mod original;
mod passwords;
mod repeats;
mod request_ids;
mod settings;
mod smoke;
mod sockets;
mod start;
mod takeover;
mod user_chats;
mod users;
