//! Who calls, and how a password is kept. Nothing here knows HTTP or SQL.

mod caller;
mod password;

pub use caller::Caller;
pub use password::PasswordHasher;
