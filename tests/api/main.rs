//! The whole server through its front door: HTTP and WebSocket against a real listener, every test
//! on both stores.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod doubt;
mod harness;

mod smoke;
