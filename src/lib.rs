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
//!  main → command        what the binary does besides serving, on config, repository and store
//!  archive               everything that is stored as lines of JSON, and back
//!
//!  model, error, json, limit, metrics, protocol, auth: what all of them speak in
//! ```

#![forbid(unsafe_code)]

pub mod app;
pub mod archive;
pub mod auth;
pub mod command;
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
