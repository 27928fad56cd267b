//! Events that the other nodes are told of. The hub puts them into a bounded queue, under its lock, so that
//! their order is the order in which they happened; the link between nodes empties the queue.

use super::room::Event;
use crate::{
    model::{ChatId, SessionId, UserId},
    protocol::Online,
};
use serde::{Deserialize, Serialize};
use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

/// Events that may wait for the link. A full queue drops events, and the database makes up for them.
const QUEUE: usize = 4096;
/// How long a batch waits for the one before it, which another node has published: two nodes that
/// commit to one chat are a few milliseconds apart. After that the database is asked.
pub(crate) const REORDER_TIMEOUT: Duration = Duration::from_millis(100);
/// Buffered batches whose timeout is tracked. With more, the first is delivered at once.
const BUFFERED: usize = 4096;

/// A node: one run of one server. A restarted server is another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct NodeId(pub(crate) u64);

/// A message between nodes about presence, users and sessions. Encoded as JSON; the names of variants and
/// fields are the wire format between nodes of different versions.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum ControlMessage {
    /// A user's first socket on that node is announced. The node counts who comes and goes.
    #[serde(rename = "Here")]
    Joined {
        chat: ChatId,
        who: Online,
        version: u64,
    },
    /// A user's last socket on that node is gone.
    #[serde(rename = "Gone")]
    Left {
        chat: ChatId,
        user: UserId,
        version: u64,
    },
    /// A user does not belong to the chat any more.
    Removed { chat: ChatId, user: UserId },
    /// The chat was deleted.
    Closed { chat: ChatId },
    /// The user was deleted.
    UserEnded { user: UserId },
    /// The session was ended.
    SessionEnded { session: SessionId },
    /// The user has another name.
    Renamed {
        user: UserId,
        from: String,
        to: String,
    },
    /// The node lives, and hears those. The digests of who is connected to it, by shard.
    #[serde(rename = "Beat")]
    Heartbeat {
        hears: Vec<NodeId>,
        digests: Vec<(u16, u64)>,
    },
    /// The node stops: nobody is connected to it any more.
    #[serde(rename = "Farewell")]
    Leaving,
    /// Who is connected to you in these shards?
    #[serde(rename = "Ask")]
    SnapshotRequest { shards: Vec<u16> },
    /// The answer.
    #[serde(rename = "Present")]
    Snapshot(SnapshotPart),
}

/// A part of the answer to who is connected.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SnapshotPart {
    /// When the answer was begun, by the count of who came and went; another has another.
    pub(crate) version: u64,
    /// Which part it is, from 0.
    pub(crate) number: u32,
    /// With the last part, the shards that the whole answer is about.
    pub(crate) about: Option<Vec<u16>>,
    /// Who is where.
    pub(crate) present: Vec<(ChatId, Online)>,
}

/// An event for other nodes.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// To the nodes that are interested in the chat.
    Event(ChatId, Event),
    /// To the nodes that are interested in the chat.
    Chat(ChatId, ControlMessage),
    /// To every node.
    All(ControlMessage),
    /// To one node.
    Node(NodeId, ControlMessage),
}

/// The hub's end of the queue.
pub(super) struct OutboundQueue {
    events: mpsc::Sender<Outbound>,
    buffered: mpsc::Sender<(Instant, ChatId)>,
    interest: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

/// The link's end of the queue.
pub struct Outbox {
    /// Events, in order.
    pub(crate) events: mpsc::Receiver<Outbound>,
    /// Chats with a buffered batch, and when its reorder timeout ends.
    pub(crate) buffered: mpsc::Receiver<(Instant, ChatId)>,
    /// Notified when a chat of a new shard is entered.
    pub(crate) interest: Arc<Notify>,
    /// Events that found the queue full, since the process started.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// The two ends of a new queue.
pub(super) fn queue() -> (OutboundQueue, Outbox) {
    let (sender, events) = mpsc::channel(QUEUE);
    let (timeouts, buffered) = mpsc::channel(BUFFERED);
    let interest = Arc::new(Notify::new());
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = OutboundQueue {
        events: sender,
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
        if self.events.try_send(event).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Queues what happened in a chat. Events that every node reads from the database for itself are not
    /// queued.
    pub(super) fn publish(&self, chat: ChatId, event: &Event) {
        match event {
            Event::Changes(_) | Event::Ephemeral(_) => {
                self.push(Outbound::Event(chat, event.clone()));
            }
            Event::Removed(user) => {
                let user = *user;
                self.push(Outbound::Chat(chat, ControlMessage::Removed { chat, user }));
            }
            Event::Closed => self.push(Outbound::Chat(chat, ControlMessage::Closed { chat })),
            Event::HeadAdvanced(_) | Event::RemovalReported(_) | Event::Reset => {}
        }
    }

    /// Tracks the reorder timeout of a buffered batch; false if too many are tracked already.
    pub(super) fn track(&self, chat: ChatId, until: Instant) -> bool {
        self.buffered.try_send((until, chat)).is_ok()
    }

    /// Notifies the link that a chat of a new shard was entered.
    pub(super) fn request_subscriptions(&self) {
        self.interest.notify_one();
    }
}

/// Notifies of a possible loss of events between nodes.
pub struct PossibleLoss(pub(super) watch::Receiver<()>);

impl PossibleLoss {
    /// Waits for the next possible loss since the last call; for ever on a single node.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            future::pending().await
        }
    }
}
