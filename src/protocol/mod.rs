//! Every WebSocket message, both ways.

mod close;
mod command;
mod frame;
#[cfg(test)]
mod properties;

pub use close::Close;
pub use command::{
    Command, Connect, MarkRead, Request, RequestId, SendMessage, StartTyping, UpdateMessage,
};
pub use frame::{Change, Connected, Frame, Online};
