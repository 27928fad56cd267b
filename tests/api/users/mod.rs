//! Users: sign-up, names, deletion.

mod deletion;
mod large_deletion;
mod lifecycle;
