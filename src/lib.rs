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
pub mod auth;
pub mod backup;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod database;
pub mod delivery;
pub mod error;
#[cfg(feature = "planted-faults")]
pub mod failpoints;
pub mod hub;
pub mod json;
pub mod metrics;
pub mod middleware;
pub mod model;
pub mod policy;
pub mod protocol;
pub mod rate_limit;
pub mod repository;
pub mod routes;
pub mod server;
pub mod service;
pub mod state;
pub mod tasks;
pub mod telemetry;
pub mod websocket;

pub use crate::{
    app::App,
    config::{Auth, Config},
    hub::HubStats,
};
