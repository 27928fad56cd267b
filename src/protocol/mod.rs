//! Every WebSocket message, both ways.

mod client;
mod peer;
#[cfg(test)]
mod properties;
mod server;

use std::{borrow::Cow, time::Duration};

pub use client::{
    ClientCommand, Connect, MarkRead, Request, RequestId, SendMessage, StartTyping, UpdateMessage,
};
pub use server::{ChangeKind, Connected, Frame, Online};

/// A reason to close a socket, as its close frame tells it (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The client closed, or is gone.
    Normal,
    /// A frame broke the WebSocket protocol.
    Protocol,
    /// A binary frame came; only text is understood.
    Binary,
    /// A text frame was not UTF-8.
    NotText,
    /// No `connect-chat` was accepted within this time.
    NotConnected(Duration),
    /// One token after another was wrong.
    WrongTokens,
    /// No pong came back within this time.
    NoPong(Duration),
    /// A message was over its limit.
    TooLarge,
    /// The client does not read what it is sent.
    TooSlow,
    /// The server stops; come back and resume.
    Restart,
    /// The session or its user is gone.
    SessionEnded,
}

impl CloseCode {
    /// The status code and the reason of the close frame.
    #[must_use]
    pub fn frame(self) -> (u16, Cow<'static, str>) {
        let (code, reason) = match self {
            Self::NotConnected(limit) => {
                let reason = format!("no connect-chat within {} s", limit.as_secs_f64());
                return (1008, reason.into());
            }
            Self::NoPong(limit) => {
                let reason = format!("no pong within {} s", limit.as_secs_f64());
                return (1008, reason.into());
            }
            Self::Normal => (1000, ""),
            Self::Protocol => (1002, "broken frame"),
            Self::Binary => (1003, "text frames only"),
            Self::NotText => (1007, "text must be UTF-8"),
            Self::WrongTokens => (1008, "too many wrong tokens"),
            Self::TooLarge => (1009, "message too large"),
            Self::TooSlow => (1013, "too slow, resume with since"),
            Self::Restart => (1012, "restart, resume with since"),
            Self::SessionEnded => (4001, "session ended"),
        };
        (code, reason.into())
    }
}
