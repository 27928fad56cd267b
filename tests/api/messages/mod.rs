//! Messages: send, edit, delete, list, search, by REST and by frames.

mod edit_delete;
mod frames;
mod idempotency;
mod list;
mod search;
mod send;
