//! How fast somebody may be, how much they may have at once, and who stands behind an address.

mod address;
mod pace;
mod places;
mod refusals;

pub use address::{Proxies, neighbourhood};
pub use pace::{Pace, Paces, Rate, too_fast};
pub use places::{Place, Places};
pub use refusals::{PERIOD as REFUSAL_PERIOD, Refusals};
