//! Users: sign-up, names, deletion.

mod deletion;
mod lifecycle;
