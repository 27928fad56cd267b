//! The queue of events to other nodes. The hub adds events under its lock, so the queue keeps the order of
//! the events. The cluster link empties the queue.

use super::{batch::Batch, room::Event};
use crate::{
    model::{ChatId, SessionId, UserId},
    protocol::{Frame, Online},
};
use serde::{Deserialize, Serialize};
use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};

/// The most events waiting for the link. A full queue drops events, and the reconciler makes up for the
/// loss from the database.
const QUEUE: usize = 4096;
/// The most memory of the frames that wait for the link, in KiB (64 MiB). While NATS takes nothing, a busy
/// node queues some hundred KiB in each batch.
const QUEUE_KIB: usize = 64 * 1024;
/// The longest wait for a missing batch that another node has published. Two nodes that commit to one chat
/// are a few milliseconds apart. After the timeout the database is read.
pub(crate) const REORDER_TIMEOUT: Duration = Duration::from_millis(100);
/// The most buffered batches with a tracked timeout. Above the limit the chat's buffer is released at once.
const BUFFERED: usize = 4096;

/// A node: one run of one server process. A restarted server has a different id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct NodeId(pub(crate) u64);

/// A message between nodes about presence, users and sessions. Encoded as JSON. The names of variants and
/// fields are the wire format between nodes of different versions.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum ControlMessage {
    /// A user's first socket on the sending node joined the chat. `version` is the sender's count of joins,
    /// leaves and snapshots.
    #[serde(rename = "Here")]
    Joined {
        chat: ChatId,
        who: Online,
        version: u64,
    },
    /// A user's last socket on the sending node left the chat. `version` is the sender's count of joins,
    /// leaves and snapshots.
    #[serde(rename = "Gone")]
    Left {
        chat: ChatId,
        user: UserId,
        version: u64,
    },
    /// A user is no longer a member of the chat.
    Removed { chat: ChatId, user: UserId },
    /// The chat was deleted.
    Closed { chat: ChatId },
    /// The user was deleted.
    UserEnded { user: UserId },
    /// The session ended.
    SessionEnded { session: SessionId },
    /// The user was renamed.
    Renamed {
        user: UserId,
        from: String,
        to: String,
    },
    /// The sender is alive and hears the nodes in `hears`. `digests` has the presence digest of each shard,
    /// without empty shards.
    #[serde(rename = "Beat")]
    Heartbeat {
        hears: Vec<NodeId>,
        digests: Vec<(u16, u64)>,
    },
    /// The sender stops and has no connected users any more.
    #[serde(rename = "Farewell")]
    Leaving,
    /// Requests a presence snapshot of these shards.
    #[serde(rename = "Ask")]
    SnapshotRequest { shards: Vec<u16> },
    /// A part of the reply to `SnapshotRequest`.
    #[serde(rename = "Present")]
    Snapshot(SnapshotPart),
}

/// One part of a presence snapshot. Each snapshot is sent to the node that requested it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SnapshotPart {
    /// The sender's version when the snapshot was begun. Each snapshot has its own version.
    pub(crate) version: u64,
    /// The number of the part, from 0.
    pub(crate) number: u32,
    /// The shards that the whole snapshot covers, in the last part; `None` in earlier parts.
    pub(crate) about: Option<Vec<u16>>,
    /// The connected users with their chats.
    pub(crate) present: Vec<(ChatId, Online)>,
}

/// An event for other nodes, with its receivers.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// Committed changes for the nodes that subscribe to the chat's shard.
    Changes(ChatId, Batch),
    /// An ephemeral frame for the nodes that subscribe to the chat's shard.
    Ephemeral(ChatId, Frame),
    /// A control message for the nodes that subscribe to the chat's shard.
    Chat(ChatId, ControlMessage),
    /// A control message for every node.
    All(ControlMessage),
    /// A control message for one node.
    Node(NodeId, ControlMessage),
}

impl Outbound {
    /// The memory of the frames in KiB, rounded up.
    fn kib(&self) -> u32 {
        let bytes: usize = match self {
            Self::Changes(_, batch) => batch.iter().map(|(_, frame)| frame.text().len()).sum(),
            Self::Ephemeral(_, frame) => frame.text().len(),
            Self::Chat(..) | Self::All(_) | Self::Node(..) => 0,
        };
        u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
    }
}

/// An event in the queue.
pub(crate) struct Queued {
    pub(crate) event: Outbound,
    /// The time at which the event happened.
    pub(crate) at: SystemTime,
    /// The share of `QUEUE_KIB` that the event takes until it is published.
    _memory: OwnedSemaphorePermit,
}

/// The hub's end of the queue.
pub(super) struct OutboundQueue {
    events: mpsc::Sender<Queued>,
    memory: Arc<Semaphore>,
    buffered: mpsc::Sender<(Instant, ChatId)>,
    interest: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

/// The link's end of the queue.
pub struct Outbox {
    /// Events, in order.
    pub(crate) events: mpsc::Receiver<Queued>,
    /// Chats with a buffered batch, and the end of its reorder timeout.
    pub(crate) buffered: mpsc::Receiver<(Instant, ChatId)>,
    /// Notified when the first chat of a shard is occupied.
    pub(crate) interest: Arc<Notify>,
    /// The number of events dropped because the queue was full, since the process started.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Returns the two ends of a new queue.
pub(super) fn queue() -> (OutboundQueue, Outbox) {
    let (sender, events) = mpsc::channel(QUEUE);
    let (timeouts, buffered) = mpsc::channel(BUFFERED);
    let interest = Arc::new(Notify::new());
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = OutboundQueue {
        events: sender,
        memory: Arc::new(Semaphore::new(QUEUE_KIB)),
        buffered: timeouts,
        interest: Arc::clone(&interest),
        dropped: Arc::clone(&dropped),
    };
    let outbox = Outbox {
        events,
        buffered,
        interest,
        dropped,
    };
    (queue, outbox)
}

impl OutboundQueue {
    /// Queues an event; drops and counts it if the queue is full.
    pub(super) fn push(&self, event: Outbound) {
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(event.kib());
        let queued = memory.is_ok_and(|memory| {
            let queued = Queued {
                event,
                at: SystemTime::now(),
                _memory: memory,
            };
            self.events.try_send(queued).is_ok()
        });
        if !queued {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Queues an event of a chat. `HeadAdvanced`, `RemovalReported` and `Reset` are not queued, because
    /// every node reads them from the database on its own.
    pub(super) fn publish(&self, chat: ChatId, event: &Event) {
        match event {
            Event::Changes(batch) => self.push(Outbound::Changes(chat, batch.clone())),
            Event::Ephemeral(frame) => self.push(Outbound::Ephemeral(chat, frame.clone())),
            Event::Removed(user) => {
                let user = *user;
                self.push(Outbound::Chat(chat, ControlMessage::Removed { chat, user }));
            }
            Event::Closed => self.push(Outbound::Chat(chat, ControlMessage::Closed { chat })),
            Event::HeadAdvanced(_) | Event::RemovalReported(_) | Event::Reset => {}
        }
    }

    /// Tracks the reorder timeout of a buffered batch. Returns false if too many timeouts are tracked
    /// already.
    pub(super) fn track(&self, chat: ChatId, until: Instant) -> bool {
        self.buffered.try_send((until, chat)).is_ok()
    }

    /// Notifies the link that a shard is newly occupied.
    pub(super) fn request_subscriptions(&self) {
        self.interest.notify_one();
    }
}

/// Notifies of possible losses of events between nodes.
pub struct PossibleLoss(pub(super) watch::Receiver<()>);

impl PossibleLoss {
    /// Waits for the next possible loss since the last call. Never completes on a single node.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    /// A batch of one frame with this many KiB.
    fn batch(kib: usize) -> Event {
        let frame = Frame::from_text(&vec![b'x'; kib * 1024]);
        Event::Changes(vec![(Seq(1), frame)].into())
    }

    #[test]
    fn the_memory_of_queued_frames_is_bounded_and_given_back() {
        let (queue, mut outbox) = queue();
        let full = QUEUE_KIB / 1024;
        for _ in 0..=full {
            queue.publish(ChatId(1), &batch(1024));
        }
        assert_eq!(outbox.dropped.load(Relaxed), 1);
        // An event without a frame is small and finds room.
        queue.publish(ChatId(1), &Event::Closed);
        assert_eq!(outbox.dropped.load(Relaxed), 1);
        drop(outbox.events.try_recv());
        queue.publish(ChatId(1), &batch(1024));
        assert_eq!(outbox.dropped.load(Relaxed), 1);
        let left = std::iter::from_fn(|| outbox.events.try_recv().ok()).count();
        assert_eq!(left, full + 1);
    }
}
