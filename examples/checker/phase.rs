//! How far a run is.

use crate::record::{ChatId, Seq};
use std::{collections::BTreeMap, sync::Arc};

/// How far a run is; everyone watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients work, things break.
    Working,
    /// Nothing breaks any more; clients finish what they are doing and then only listen.
    Draining,
    /// Each chat had a last message, of that number: whoever still listens must get it.
    Closing(Arc<BTreeMap<ChatId, Seq>>),
}
