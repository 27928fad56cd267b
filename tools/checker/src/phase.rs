//! The phase of a round.

use crate::record::{ChatId, Seq};
use std::{collections::BTreeMap, sync::Arc};

/// The phase of a round, watched by every client, admin and the nemesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients work while faults are injected.
    Working,
    /// No fault is injected any more. Clients finish their operations and then only listen.
    Draining,
    /// The last message of each chat was sent, with this seq. Every open socket in the chat must get
    /// it.
    Closing(Arc<BTreeMap<ChatId, Seq>>),
}
