//! The link between servers ("nodes") that share one database. A committed change is published once over
//! NATS, and every other node passes it on to its own sockets. Delivery is at most once and nothing is kept
//! for later: the reconciler reads what the link loses from the database.

mod nats;
mod wire;

use crate::{
    hub::{ControlMessage, Event, NodeId, Outbound, Outbox, SHARDS, shard_of},
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
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time,
};
use uuid::Uuid;

pub use nats::{LinkOptions, LinkTask};

/// How long a message may wait for room in the client's queue. After that it is dropped.
const PUBLISH_LIMIT: Duration = Duration::from_secs(1);

/// Whether nodes hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Connected to NATS.
    Up,
    /// Not connected; the database heals.
    Down,
    /// This server is alone.
    None,
}

/// The link of this node. Cloning shares it.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    node: NodeId,
    subjects: Subjects,
    counters: Counters,
    /// Events that found the hub's queue full.
    unqueued: Arc<AtomicU64>,
    on_lag: Box<dyn Fn(Duration) + Send + Sync>,
    /// Notified when a chat of a new shard was entered.
    interest: Arc<Notify>,
    /// True once another node reported that it does not hear this one.
    unheard: AtomicBool,
}

/// Where messages go.
struct Subjects {
    /// By shard: what happens in its chats.
    shards: Vec<Subject>,
    /// What concerns every node.
    all: Subject,
    /// Each node's own begins like this.
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

    fn of(&self, node: NodeId) -> Subject {
        Subject::from(format!("{}.{:016x}", self.node, node.0))
    }
}

impl Link {
    /// Makes the link, and the task that keeps it up. NATS need not be reachable yet.
    ///
    /// # Errors
    /// A sentence about a wrong option.
    pub async fn new(options: LinkOptions, outbox: Outbox) -> Result<(Self, LinkTask), String> {
        let (events, happened) = mpsc::channel(64);
        let client = nats::connect(&options, events).await?;
        let link = Self(Arc::new(Inner {
            client,
            node: NodeId(Uuid::new_v4().as_u64_pair().0),
            subjects: Subjects::new(&options.deployment),
            counters: Counters::default(),
            unqueued: outbox.dropped,
            on_lag: options.on_lag,
            interest: outbox.interest,
            unheard: AtomicBool::new(false),
        }));
        let work = LinkTask::new(link.clone(), happened, outbox.events, outbox.buffered);
        Ok((link, work))
    }

    /// Whether this node is connected to NATS, over which it hears the others.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self.is_up() {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    /// The counters at this moment.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let mut stats = self.0.counters.read();
        stats.dropped += self.0.unqueued.load(Relaxed);
        stats
    }

    fn is_up(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// Counts a message of another node, and its age.
    fn received(&self, age_ms: u64) {
        self.0.counters.received();
        (self.0.on_lag)(Duration::from_millis(age_ms));
    }

    /// Publishes an event of the hub.
    async fn publish(&self, event: Outbound) {
        match event {
            Outbound::Event(chat, Event::Changes(batch)) => {
                for payload in wire::changes(self.0.node, chat, &batch) {
                    self.send(self.shard(chat), payload).await;
                }
            }
            Outbound::Event(chat, Event::Ephemeral(frame)) => {
                let payload = wire::passing(self.0.node, chat, &frame);
                self.send(self.shard(chat), payload).await;
            }
            // Every node reads these from the database for itself; the hub does not queue them.
            Outbound::Event(..) => {}
            Outbound::Chat(chat, message) => {
                let payload = wire::note(self.0.node, &message);
                self.send(self.shard(chat), payload).await;
            }
            Outbound::All(message) => self.send_to_all(&message).await,
            Outbound::Node(node, message) => self.send_to(node, &message).await,
        }
    }

    /// Sends a message to every node.
    async fn send_to_all(&self, message: &ControlMessage) {
        let all = self.0.subjects.all.clone();
        self.send(all, wire::note(self.0.node, message)).await;
    }

    /// Sends a message to one node.
    async fn send_to(&self, node: NodeId, message: &ControlMessage) {
        let subject = self.0.subjects.of(node);
        self.send(subject, wire::note(self.0.node, message)).await;
    }

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
struct Counters {
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
}

/// What the counters say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Messages handed to NATS.
    pub published: u64,
    /// Messages that came from other nodes.
    pub received: u64,
    /// Messages that were not handed to NATS: it was away, or behind by a full queue.
    pub dropped: u64,
    /// Times that the connection to NATS was lost and made again.
    pub reconnects: u64,
}

impl Counters {
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

    /// What they say now.
    fn read(&self) -> LinkStats {
        LinkStats {
            published: self.published.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
        }
    }
}
