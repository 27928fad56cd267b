//! A chat server: REST for users, chats, memberships and messages, a WebSocket for live events. An
//! acknowledged message is never lost, never doubled, never out of order.
//!
//! ```text
//!  main → app              wires the parts, starts the tasks, stops them in order
//!          │
//!        server            accept loop and connection limits
//!          │
//!  routes, websocket       HTTP and WebSocket: parse, answer; around them middleware
//!          │
//!        service           the rules of each resource
//!          │
//!       delivery           writer (commit, then publish), feed (no holes), reconciler
//!      │         │
//!  repository   hub        all SQL; rooms in memory; cluster links them to other nodes
//!      │
//!   database               Postgres or the embedded SQLite
//!
//!  main → cli              the commands of the binary besides serving
//!  backup                  all stored data as JSON lines, and back
//!  config                  the settings, read once; only main, app and cli import it
//!
//!  state                   the services and limits that handlers take
//!  policy                  permissions as pure functions
//!  auth                    caller, password hashes, tokens, login throttle
//!  rate_limit              limiters of rates, numbers, reads and memory; client addresses
//!  protocol                frames of clients and of the server, close codes
//!  send_queue              the outgoing bytes of one socket
//!
//!  error, model, json, metrics, telemetry, tasks, failpoints: the ground of all layers
//! ```
//!
//! `docs/ARCHITECTURE.md` follows a message through these modules; `tests/layers` enforces their imports.

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
pub mod send_queue;
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
