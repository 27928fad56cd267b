//! The WebSocket protocol: frames in both directions, and the reasons to close a socket.

mod answer;
mod client;
mod frame;
mod peer;
#[cfg(test)]
mod properties;
mod server;

use std::{borrow::Cow, time::Duration};

pub use answer::ConnectAck;
pub use client::{
    ClientCommand, Connect, MarkRead, Request, RequestId, StartTyping, UpdateMessage,
};
pub use frame::{Audience, EncodedFrames, Frame};
pub use server::{ChangeKind, ListedChange, Online};

/// The reason to close a socket, sent in its close frame (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The client closed the socket or disconnected.
    Normal,
    /// A frame broke the WebSocket protocol.
    Protocol,
    /// A binary frame arrived; the protocol has text frames only.
    Binary,
    /// A text frame was not UTF-8.
    NotText,
    /// No `connect-chat` was accepted within this time.
    NotConnected(Duration),
    /// The client sent too many wrong tokens.
    WrongTokens,
    /// No pong arrived within this time.
    NoPong(Duration),
    /// A message exceeded the size limit.
    TooLarge,
    /// The client does not read fast enough, or the server cannot read the changes that the client
    /// has missed. The client may reconnect and resume with `since`.
    TooSlow,
    /// The server restarts. The client may reconnect and resume with `since`.
    Restart,
    /// The session ended, or its user was deleted.
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
