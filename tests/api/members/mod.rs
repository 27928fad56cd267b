//! Members of chats and their roles.

mod admins;
mod membership;
