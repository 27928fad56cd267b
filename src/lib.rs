//! A chat server: REST for users, chats, memberships and messages, a WebSocket for what happens
//! in the chats. An acknowledged message is never lost, never doubled, never out of order.
//!
//! ```text
//!  main → app            reads the settings, wires the parts, stops them in order
//!          │
//!        routes          HTTP and WebSocket: understands, answers
//!          │
//!        service         the rules; the writer (commit, then publish) and the feed (no holes)
//!        │     │
//!  repository  hub       all the SQL; who is connected where
//!        │
//!      store             Postgres or the embedded SQLite
//!
//!  model, error, json, limit, metrics, protocol, auth: what all of them speak in
//! ```

#![forbid(unsafe_code)]

pub mod app;
pub mod auth;
pub mod config;
pub mod error;
pub mod hub;
pub mod json;
pub mod limit;
pub mod metrics;
pub mod model;
#[cfg(feature = "planted-faults")]
pub mod planted;
pub mod protocol;
pub mod repository;
pub mod routes;
pub mod service;
pub mod state;
pub mod store;
pub mod telemetry;

pub use app::App;
pub use config::{Auth, Config};
pub use hub::Census;
