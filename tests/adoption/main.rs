//! Data of another origin: databases of the original, archives, chats without an admin. Only whole data is
//! taken; the rest is refused before anything is changed.

// The harness is shared with the other tests, which use all of it.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../api/harness/mod.rs"]
mod harness;

mod admins;
mod archives;
mod make_admin;
mod original;
mod plain_passwords;
