//! Chats: creation, names, lists, deletion.

mod large_deletions;
mod last_message;
mod lifecycle;
mod list;
mod log;
