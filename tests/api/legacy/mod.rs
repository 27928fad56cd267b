//! The original: its API, and its databases.

mod api;
mod takeover;
