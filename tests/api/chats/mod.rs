//! Chats: creation, names, lists, deletion.

mod large_deletions;
mod lifecycle;
mod list;
