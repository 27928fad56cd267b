//! Data of another origin: databases of the original, archives, chats without an admin. Only whole data is
//! taken; the rest is refused before anything is changed.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod admins;
mod archives;
mod make_admin;
mod original;
mod plain_passwords;
