//! The link between servers ("nodes") that share one database: what is committed on one of them is
//! published once over NATS, and every other passes it on to its own sockets. At most once, and
//! nothing is kept for later: what the link loses, the database heals.

mod nats;
mod presence;
mod shards;
mod wire;

use crate::{
    hub::{Batch, Event},
    model::{ChatId, UserId},
    protocol::{Frame, Online},
};
use async_nats::{Client, Subject, connection::State};
use bytes::Bytes;
use futures_util::FutureExt;
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task,
    time::Instant,
};
use uuid::Uuid;

pub use nats::{LinkOptions, LinkWork};
pub(crate) use presence::{Elsewhere, Passage, STALE};
pub(crate) use shards::{SHARDS, Shards, shard_of};
pub(crate) use wire::{Note, Part};

/// How long a batch waits for the one before it, which another node has published: two nodes that
/// commit to one chat are a few milliseconds apart. After that the database is asked.
pub(super) const HOLD: Duration = Duration::from_millis(100);
/// Batches of which the first waits for its turn. With more, the first waits no longer.
const HELD: usize = 4096;

/// One life of one server; after a restart it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct NodeId(pub(super) u64);

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

/// The link. Cloning shares it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    node: NodeId,
    subjects: Subjects,
    counters: Counters,
    on_lag: Box<dyn Fn(Duration) + Send + Sync>,
    /// A chat was entered whose shard nobody here listened to before.
    wanted: Notify,
    /// Something may have been lost: what chats were told must be compared with the database.
    doubt: watch::Sender<()>,
    /// Another node does not hear this one.
    unheard: AtomicBool,
    /// Chats with a batch that waits for its turn, in order of time.
    held: mpsc::Sender<(Instant, ChatId)>,
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
    /// Makes the link, and what keeps it up. NATS need not be there yet.
    pub(super) async fn new(options: LinkOptions) -> Result<(Self, LinkWork), String> {
        let (events, happened) = mpsc::channel(64);
        let client = nats::connect(&options, events).await?;
        let (held, waiting) = mpsc::channel(HELD);
        let link = Self(Arc::new(Inner {
            client,
            node: NodeId(Uuid::new_v4().as_u64_pair().0),
            subjects: Subjects::new(&options.deployment),
            counters: Counters::default(),
            on_lag: options.on_lag,
            wanted: Notify::new(),
            doubt: watch::Sender::new(()),
            unheard: AtomicBool::new(false),
            held,
        }));
        let work = LinkWork::new(link.clone(), happened, waiting);
        Ok((link, work))
    }

    pub(super) fn node(&self) -> NodeId {
        self.0.node
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// A message of another node came, this old.
    fn received(&self, age_ms: u64) {
        self.0.counters.received();
        (self.0.on_lag)(Duration::from_millis(age_ms));
    }

    /// Tells the other nodes what happened in a chat.
    pub(super) fn publish(&self, chat: ChatId, event: &Event) {
        match event {
            Event::Changes(batch) => self.changes(chat, batch),
            Event::Passing(frame) => self.pass(chat, frame),
            Event::Removed(user) => self.note(chat, &Note::Removed { chat, user: *user }),
            Event::Closed => self.note(chat, &Note::Closed { chat }),
            // Read from the database, as every node does for itself.
            Event::Behind(_) | Event::SaidRemoved(_) | Event::Reset => {}
        }
    }

    fn changes(&self, chat: ChatId, batch: &Batch) {
        for payload in wire::changes(self.0.node, chat, batch) {
            self.send(self.shard(chat), payload);
        }
    }

    fn pass(&self, chat: ChatId, frame: &Frame) {
        self.send(self.shard(chat), wire::passing(self.0.node, chat, frame));
    }

    /// Tells the other nodes that a user is connected here, or not any more.
    pub(super) fn here(&self, chat: ChatId, who: &Online, version: u64) {
        let who = who.clone();
        self.note(chat, &Note::Here { chat, who, version });
    }

    pub(super) fn gone(&self, chat: ChatId, user: UserId, version: u64) {
        self.note(
            chat,
            &Note::Gone {
                chat,
                user,
                version,
            },
        );
    }

    fn note(&self, chat: ChatId, note: &Note) {
        self.send(self.shard(chat), wire::note(self.0.node, note));
    }

    /// Tells every node.
    pub(super) fn note_all(&self, note: &Note) {
        let all = self.0.subjects.all.clone();
        self.send(all, wire::note(self.0.node, note));
    }

    /// Tells one node.
    pub(super) fn note_to(&self, node: NodeId, note: &Note) {
        let subject = self.0.subjects.of(node);
        self.send(subject, wire::note(self.0.node, note));
    }

    /// Says that chats of a new shard are of interest.
    pub(super) fn want(&self) {
        self.0.wanted.notify_one();
    }

    /// Says that something may have been lost.
    fn doubt(&self) {
        self.0.doubt.send_replace(());
    }

    /// Says that another node, which this one hears, does not hear this one.
    pub(super) fn is_unheard(&self) {
        self.0.unheard.store(true, Relaxed);
    }

    /// Changes whenever something may have been lost.
    pub(super) fn doubts(&self) -> watch::Receiver<()> {
        self.0.doubt.subscribe()
    }

    /// Sees to it that a held batch does not wait for long; false where it must not wait at all.
    pub(super) fn hold(&self, chat: ChatId, until: Instant) -> bool {
        self.0.held.try_send((until, chat)).is_ok()
    }

    fn shard(&self, chat: ChatId) -> Subject {
        self.0.subjects.shards[usize::from(shard_of(chat))].clone()
    }

    /// Hands a message to the client's queue, or drops it: nothing waits for NATS.
    fn send(&self, subject: Subject, payload: Bytes) {
        let publish = || self.0.client.publish(subject, payload);
        // Unconstrained: a task that has done much would be told to wait although there is room.
        let sent = self.is_up() && {
            let publish = task::unconstrained(publish()).now_or_never();
            matches!(publish, Some(Ok(())))
        };
        match sent {
            true => self.0.counters.published(),
            false => self.0.counters.dropped(),
        }
    }
}

/// Counters of the link, from the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    healed: AtomicU64,
    reconnects: AtomicU64,
}

/// What the counters say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages handed to NATS.
    pub published: u64,
    /// Messages that came from other nodes.
    pub received: u64,
    /// Messages that were not handed to NATS: it was away, or behind by a full queue.
    pub dropped: u64,
    /// Times that a chat had missed something, and was told to read it from the database.
    pub healed: u64,
    /// Times that the connection to NATS was lost and made again.
    pub reconnects: u64,
}

impl Counters {
    pub(super) fn published(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn healed(&self) {
        self.healed.fetch_add(1, Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// What they say now.
    pub(crate) fn read(&self) -> Figures {
        Figures {
            published: self.published.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            healed: self.healed.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
        }
    }
}
