//! Broken promises of the server.

use clap::ValueEnum;
use serde::Serialize;
use std::fmt;

/// The kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// A server ended by itself, or not within its limit
    Crash,
    /// A message is stored twice, or was acknowledged as new twice
    Doubled,
    /// An epoch changed without a restore, or stayed through one
    Epoch,
    /// A frame or a seq is missing
    Hole,
    /// A fault was answered as an error of the server's own
    Internal,
    /// An acknowledged change is not stored
    Lost,
    /// Frames or message ids are out of order
    Order,
    /// A server lists other users as online than the connected ones
    Presence,
    /// A frame does not have the documented form
    Protocol,
    /// A removed member was sent a later change of the chat
    Removed,
    /// A restored backup is not the state of one moment
    Restored,
    /// One seq or one id belongs to two changes
    Reused,
    /// A server stores nothing after a fault has passed
    Stuck,
    /// A request was not answered
    Unanswered,
    /// A change that is not stored was shown
    Uncommitted,
    /// An open socket did not get the last message of its chat
    Undelivered,
    /// Stored data that no operation explains
    Unexplained,
    /// A client's messages differ from the stored ones
    View,
    /// A frame has the type of another change
    WrongType,
}

/// A broken promise of the server.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its kind.
    pub kind: ViolationKind,
    /// The details.
    pub text: String,
}

impl Violation {
    pub fn new(kind: ViolationKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}
