//! The whole server through its front door: HTTP and WebSocket against a real listener, every test
//! on both stores.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod doubt;

mod bad_frames;
mod bad_input;
mod browsers;
mod busy_store;
mod chats;
mod deleted_users;
mod deletions;
mod delivery;
mod document;
mod events;
mod frames;
mod hostile;
mod hub;
mod limits;
mod logins;
mod members;
mod message_changes;
mod message_lists;
mod messages;
mod metrics;
mod nodes;
mod openapi;
mod operations;
mod original;
mod page;
mod passwords;
mod permissions;
mod private_chats;
mod read;
mod repeats;
mod request_ids;
mod secrets;
mod sessions;
mod settings;
mod signed_in_pages;
mod smoke;
mod sockets;
mod start;
mod takeover;
mod tokens;
mod typing;
mod user_chats;
mod users;
