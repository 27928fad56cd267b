//! Every WebSocket message, both ways.

mod close;
mod command;
mod frame;

pub use close::Close;
pub use command::{Command, Connect, Request, RequestId, SendMessage, UpdateMessage};
pub use frame::{Change, Frame, Online};
