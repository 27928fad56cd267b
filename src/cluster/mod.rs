//! The link between servers ("nodes") that share one database. A committed change is published once over
//! NATS, and every other node passes it on to its own sockets. Delivery is at most once and nothing is kept
//! for later: the reconciler reads lost changes from the database.

mod connect;
mod nats;
mod wire;

use crate::{
    hub::{ControlMessage, NodeId, Outbound, Outbox, Queued, SHARDS, shard_of},
    model::ChatId,
};
use async_nats::{Client, Subject, connection::State};
use bytes::Bytes;
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, mpsc},
    time,
};
use uuid::Uuid;

pub use connect::LinkOptions;
pub use nats::LinkTask;

/// How long a message may wait for room in the client's queue. After that it is dropped.
const PUBLISH_LIMIT: Duration = Duration::from_secs(1);

/// The state of the link between this node and the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Connected to NATS.
    Up,
    /// Not connected to NATS. Changes of other nodes reach this node's sockets by the reconciler only.
    Down,
    /// No link is configured: this node is the only one.
    None,
}

/// The link of this node. Clones share one connection to NATS.
#[derive(Clone)]
pub struct Link(Arc<LinkInner>);

struct LinkInner {
    client: Client,
    /// The id of this node, drawn at random when the process starts.
    node: NodeId,
    subjects: Subjects,
    counters: LinkCounters,
    /// Events that the hub dropped because its queue was full, since the process started.
    unqueued: Arc<AtomicU64>,
    /// Observes the age of each received message.
    on_lag: Box<dyn Fn(Duration) + Send + Sync>,
    /// Notified when a chat of a new shard was entered.
    interest: Arc<Notify>,
    /// True if a heartbeat of another node did not list this node as heard, since this node's last heartbeat.
    unheard: AtomicBool,
}

/// The NATS subjects of a deployment.
struct Subjects {
    /// One subject per shard, for the events of its chats.
    shards: Vec<Subject>,
    /// The subject that every node subscribes to.
    all: Subject,
    /// The prefix of the subjects that one node each subscribes to.
    node: String,
}

impl Subjects {
    fn new(deployment: &str) -> Self {
        let base = format!("messaging.{deployment}");
        Self {
            shards: (0..SHARDS)
                .map(|shard| Subject::from(format!("{base}.chat.{shard}")))
                .collect(),
            all: Subject::from(format!("{base}.all")),
            node: format!("{base}.node"),
        }
    }

    /// The subject of one node.
    fn of(&self, node: NodeId) -> Subject {
        Subject::from(format!("{}.{:016x}", self.node, node.0))
    }
}

impl Link {
    /// Creates the link, and the task that keeps it up. NATS need not be reachable yet. `outbox` is the hub's
    /// queue of events for other nodes.
    ///
    /// # Errors
    /// A message for the operator about an invalid option.
    pub async fn new(options: LinkOptions, outbox: Outbox) -> Result<(Self, LinkTask), String> {
        let (events, nats_events) = mpsc::channel(64);
        let client = connect::connect(&options, events).await?;
        let link = Self(Arc::new(LinkInner {
            client,
            node: NodeId(Uuid::new_v4().as_u64_pair().0),
            subjects: Subjects::new(&options.deployment),
            counters: LinkCounters::default(),
            unqueued: outbox.dropped,
            on_lag: options.on_lag,
            interest: outbox.interest,
            unheard: AtomicBool::new(false),
        }));
        let task = LinkTask::new(link.clone(), nats_events, outbox.events, outbox.buffered);
        Ok((link, task))
    }

    /// The state of the connection to NATS, through which this node hears the other nodes.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self.is_up() {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    /// The present values of the counters, including the events that the hub dropped.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let mut stats = self.0.counters.read();
        stats.dropped += self.0.unqueued.load(Relaxed);
        stats
    }

    fn is_up(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// Counts a message of another node, and observes its age in milliseconds.
    fn received(&self, age_ms: u64) {
        self.0.counters.received();
        (self.0.on_lag)(Duration::from_millis(age_ms));
    }

    /// Publishes an event of the hub to the nodes that it concerns.
    async fn publish(&self, queued: Queued) {
        let (node, at) = (self.0.node, queued.at);
        match &queued.event {
            Outbound::Changes(chat, batch) => {
                for payload in wire::changes((node, at), *chat, batch) {
                    self.send(self.shard(*chat), payload).await;
                }
            }
            Outbound::Ephemeral(chat, frame) => {
                let payload = wire::ephemeral((node, at), *chat, frame);
                self.send(self.shard(*chat), payload).await;
            }
            Outbound::Chat(chat, message) => {
                let payload = wire::control((node, at), message);
                self.send(self.shard(*chat), payload).await;
            }
            Outbound::All(message) => {
                let payload = wire::control((node, at), message);
                self.send(self.0.subjects.all.clone(), payload).await;
            }
            Outbound::Node(to, message) => {
                let payload = wire::control((node, at), message);
                self.send(self.0.subjects.of(*to), payload).await;
            }
        }
    }

    /// Sends a message to every node, at once.
    async fn send_to_all(&self, message: &ControlMessage) {
        let payload = wire::control((self.0.node, SystemTime::now()), message);
        self.send(self.0.subjects.all.clone(), payload).await;
    }

    /// The subject of a chat's shard.
    fn shard(&self, chat: ChatId) -> Subject {
        self.0.subjects.shards[usize::from(shard_of(chat))].clone()
    }

    /// Hands a message to the client's queue. Drops it while the link is down, or if the queue stays full
    /// for `PUBLISH_LIMIT`.
    async fn send(&self, subject: Subject, payload: Bytes) {
        let sent = self.is_up() && {
            let publish = self.0.client.publish(subject, payload);
            matches!(time::timeout(PUBLISH_LIMIT, publish).await, Ok(Ok(())))
        };
        match sent {
            true => self.0.counters.published(),
            false => self.0.counters.dropped(),
        }
    }
}

/// Counters of the link, from the start of the process.
#[derive(Debug, Default)]
struct LinkCounters {
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
}

/// The values of the link's counters at one time, counted since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Messages handed to NATS.
    pub published: u64,
    /// Messages received from other nodes.
    pub received: u64,
    /// Messages that were not handed to NATS, because the link was down or a queue was full.
    pub dropped: u64,
    /// The number of times that the connection to NATS was lost and established again.
    pub reconnects: u64,
}

impl LinkCounters {
    fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// The present values.
    fn read(&self) -> LinkStats {
        LinkStats {
            published: self.published.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
        }
    }
}
