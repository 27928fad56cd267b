//! Leaves that a chat is notified of later: a chat is notified of a user's leaves at a limited rate, and not
//! at all if the user is back in time.

use super::Hub;
use crate::model::{ChatId, UserId};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::{select, sync::mpsc};
use tokio_util::{sync::CancellationToken, time::DelayQueue};

/// A user's leave of a chat, and how long to wait before the chat is notified.
pub(super) type Leave = (ChatId, UserId, Duration);

/// The queue of delayed leaves, for the task that publishes them. It holds at most one leave for each user of
/// each chat.
pub struct DelayedLeaves(pub(super) mpsc::UnboundedReceiver<Leave>);

impl DelayedLeaves {
    /// Publishes each leave after its delay, until `stop`.
    pub async fn run(mut self, hub: Hub, stop: CancellationToken) {
        let mut waiting: DelayQueue<(ChatId, UserId)> = DelayQueue::new();
        loop {
            select! {
                () = stop.cancelled() => return,
                Some((chat, user, wait)) = self.0.recv() => {
                    waiting.insert((chat, user), wait);
                }
                Some(due) = waiting.next(), if !waiting.is_empty() => {
                    let (chat, user) = due.into_inner();
                    if let Some(wait) = hub.publish_leave_if_gone(chat, user) {
                        waiting.insert((chat, user), wait);
                    }
                }
            }
        }
    }
}

impl Hub {
    /// Queues a leave; false if no task publishes delayed leaves.
    pub(super) fn publish_leave_later(&self, chat: ChatId, user: UserId, wait: Duration) -> bool {
        let leave = (chat, user, wait);
        let queue = self.0.delayed_leaves.as_ref();
        queue.is_some_and(|queue| queue.send(leave).is_ok())
    }
}
