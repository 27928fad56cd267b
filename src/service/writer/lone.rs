//! A message that waits alone takes the short way; whatever is not plain takes the long one, which
//! alone knows why something is refused.

use super::change::Change;
use crate::{
    model::Timestamp,
    repository::{Attempt, LogRepository, LoneMessage},
};

/// Tries to store a change by itself.
pub(super) async fn send(log: &LogRepository, change: &Change) -> Attempt {
    match change {
        Change::Send {
            caller,
            author,
            chat,
            content,
            key,
            reply_to: None,
        } => {
            let new = LoneMessage {
                chat: *chat,
                author: *author,
                content,
                key: key.as_ref(),
                members_only: caller.members_only(),
            };
            log.send_alone(&new, Timestamp::now()).await
        }
        _ => Attempt::Declined,
    }
}
