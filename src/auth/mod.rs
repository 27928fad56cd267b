//! Who calls, how they prove it, and how a password is kept. Nothing here knows HTTP or SQL.

mod attempts;
mod caller;
mod fixed;
mod password;
mod token;

pub use attempts::{Attempt, Attempts};
pub use caller::{Caller, Mode, SignedIn};
pub use fixed::FixedToken;
pub use password::{PasswordHasher, PasswordRules, Proof};
pub use token::SessionToken;
