//! Login, sessions, tokens and stored passwords.

mod lifecycle;
mod login;
mod stored_passwords;
mod tokens;
