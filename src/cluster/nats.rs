//! The task behind the link: subscribes to the shards that this node has sockets in, forwards received
//! messages to the hub, publishes the hub's events, sends heartbeats, evicts dead nodes and releases buffered
//! batches in time.

use super::{
    Link,
    wire::{self, WireBody},
};
use crate::{
    hub::{ControlMessage, Event, Hub, NODE_TIMEOUT, NodeId, Queued, REORDER_TIMEOUT},
    model::ChatId,
};
use async_nats::{Event as NatsEvent, Subscriber};
use futures_util::StreamExt;
use std::{
    collections::HashMap, convert::Infallible, mem, sync::atomic::Ordering::Relaxed, time::Duration,
};
use tokio::{
    select,
    sync::mpsc,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The time between two heartbeats of a node. A node that misses three heartbeats of another node considers
/// it dead.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(3);
/// The maximum time to write published messages to the connection, and to request a reconnect.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// The total time to hand the subscriptions of one round to the client.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(1);

/// A subject that this node subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Topic {
    /// Messages to every node.
    All,
    /// Messages to this node.
    Own,
    /// Events of the chats of a shard.
    Shard(u16),
}

/// The task that keeps the link up and moves messages in both directions.
pub struct LinkTask {
    /// Events of the hub for the other nodes.
    outbound: mpsc::Receiver<Queued>,
    /// Chats with a buffered batch, and when its reorder timeout ends.
    buffered: mpsc::Receiver<(Instant, ChatId)>,
    upkeep: Upkeep,
}

/// Keeps the link up: connections, subscriptions and heartbeats.
struct Upkeep {
    link: Link,
    /// Events of the NATS client: connects, disconnects, errors.
    nats_events: mpsc::Receiver<NatsEvent>,
    /// The subscriptions, each with the task that receives its messages.
    subscriptions: HashMap<Topic, AbortOnDropHandle<()>>,
    /// The time of the last connect to NATS. `None` before the first.
    connected: Option<Instant>,
    /// The end of the grace period in which a silent node is not considered dead, because this node could not
    /// hear it. `None` before the first.
    grace_until: Option<Instant>,
    /// Whether received messages were dropped since the last heartbeat, because they arrived too fast.
    slow_consumer: bool,
    /// The last error of NATS, so that a repeated error is logged once.
    last_error: String,
}

impl LinkTask {
    pub(super) fn new(
        link: Link,
        nats_events: mpsc::Receiver<NatsEvent>,
        outbound: mpsc::Receiver<Queued>,
        buffered: mpsc::Receiver<(Instant, ChatId)>,
    ) -> Self {
        Self {
            outbound,
            buffered,
            upkeep: Upkeep {
                link,
                nats_events,
                subscriptions: HashMap::new(),
                connected: None,
                grace_until: None,
                slow_consumer: false,
                last_error: String::new(),
            },
        }
    }

    /// Runs until `stop`; then publishes the queued events of the hub and tells the other nodes that this
    /// node leaves, for at most `FLUSH_LIMIT`.
    pub async fn run(self, hub: Hub, stop: CancellationToken) {
        let Self {
            mut outbound,
            buffered,
            mut upkeep,
        } = self;
        let link = upkeep.link.clone();
        let work = async {
            let releasing = release(buffered, hub.clone());
            tokio::join!(releasing, upkeep.run(&hub)).1
        };
        let publishing = publish(&link, &mut outbound, &stop);
        tokio::join!(publishing, stop.run_until_cancelled(work));
        let last = async {
            while let Ok(queued) = outbound.try_recv() {
                link.publish(queued).await;
            }
            link.send_to_all(&ControlMessage::Leaving).await;
            let _ = link.0.client.flush().await;
        };
        let _ = time::timeout(FLUSH_LIMIT, last).await;
    }
}

impl Upkeep {
    /// Handles events of the NATS client, requests for subscriptions and heartbeats.
    async fn run(&mut self, hub: &Hub) -> Infallible {
        let mut heartbeats = time::interval(HEARTBEAT_PERIOD);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        let link = self.link.clone();
        loop {
            select! {
                Some(event) = self.nats_events.recv() => self.on_nats_event(hub, event).await,
                () = link.0.interest.notified() => self.subscribe_missing(hub).await,
                _ = heartbeats.tick() => {
                    // A node that was suspended must not evict nodes that it could not hear in that time.
                    if due.elapsed() > HEARTBEAT_PERIOD {
                        self.reset_liveness();
                    }
                    due = Instant::now() + HEARTBEAT_PERIOD;
                    self.heartbeat(hub).await;
                }
            }
        }
    }

    /// Restarts the liveness window: no node is evicted before another `NODE_TIMEOUT`. Called after this node
    /// was disconnected or suspended and could not hear the other nodes.
    fn reset_liveness(&mut self) {
        self.grace_until = Some(Instant::now() + NODE_TIMEOUT);
    }

    /// Evicts dead nodes, sends a heartbeat and renews the subscriptions. If messages were dropped since the
    /// last heartbeat, the heartbeat comes with a request for snapshots.
    async fn heartbeat(&mut self, hub: &Hub) {
        if self.grace_until.is_none_or(|until| until < Instant::now()) {
            hub.evict_dead_nodes();
        }
        if mem::take(&mut self.slow_consumer) {
            self.catch_up(hub).await;
        } else if self.link.is_up() {
            hub.send_heartbeat();
        }
        self.unsubscribe_idle(hub);
        self.subscribe_missing(hub).await;
        self.reconnect_if_unheard().await;
    }

    /// Reconnects to NATS if another node is heard and does not hear this node: outgoing messages are lost on
    /// the way. The NATS client notices a broken connection only if nothing comes in either.
    async fn reconnect_if_unheard(&mut self) {
        if !self.link.is_up() {
            return;
        }
        let unheard = self.link.0.unheard.swap(false, Relaxed);
        let long = self.connected.is_some_and(|at| at.elapsed() > NODE_TIMEOUT);
        if unheard && long {
            tracing::warn!(
                "the other servers receive nothing from this server; reconnecting to NATS"
            );
            let reconnecting = self.link.0.client.force_reconnect();
            let _ = time::timeout(FLUSH_LIMIT, reconnecting).await;
        }
    }

    /// Handles an event of the NATS client.
    async fn on_nats_event(&mut self, hub: &Hub, event: NatsEvent) {
        match event {
            NatsEvent::Connected => {
                tracing::info!("the link to the other servers is up");
                if self.connected.replace(Instant::now()).is_some() {
                    self.link.0.counters.reconnected();
                }
                self.last_error.clear();
                self.reset_liveness();
                self.catch_up(hub).await;
                // Subscriptions may have been requested while the link was down.
                self.link.0.interest.notify_one();
            }
            NatsEvent::Disconnected => {
                tracing::warn!(
                    "the link to the other servers is down; messages come from the database until \
                     it is up"
                );
            }
            // This event comes once per dropped message, at a time of high load. The catch-up therefore runs
            // once per heartbeat.
            NatsEvent::SlowConsumer(_) => self.slow_consumer = true,
            NatsEvent::ServerError(_) | NatsEvent::ClientError(_) => {
                let last_error = event.to_string();
                if last_error != self.last_error {
                    tracing::warn!(complaint = %last_error, "NATS reported an error");
                    self.last_error = last_error;
                }
            }
            NatsEvent::LameDuckMode | NatsEvent::Draining | NatsEvent::Closed => {}
        }
    }

    /// Makes up for messages that may have been lost: signals the loss, so that the reconciler reads changes
    /// from the database, and requests presence snapshots from the other nodes.
    async fn catch_up(&self, hub: &Hub) {
        hub.send_heartbeat();
        let shards = self.subscriptions.keys().filter_map(|topic| match topic {
            Topic::Shard(shard) => Some(*shard),
            Topic::All | Topic::Own => None,
        });
        let shards = shards.collect();
        let request = ControlMessage::SnapshotRequest { shards };
        self.link.send_to_all(&request).await;
        hub.signal_loss();
    }

    /// Subscribes to the subjects that this node needs and is not subscribed to, or not any more. Does
    /// nothing while the link is down, because NATS would not take the subscriptions.
    async fn subscribe_missing(&mut self, hub: &Hub) {
        self.subscriptions.retain(|_, task| !task.is_finished());
        if !self.link.is_up() {
            return;
        }
        let shards = hub.shards_of_interest().into_iter().map(Topic::Shard);
        let wanted = [Topic::All, Topic::Own].into_iter().chain(shards);
        let wanted = wanted.filter(|topic| !self.subscriptions.contains_key(topic));
        let wanted: Vec<Topic> = wanted.collect();
        let mut new = Vec::new();
        let listening = async {
            for topic in wanted {
                if let Some(task) = self.listen(hub, topic).await {
                    self.subscriptions.insert(topic, task);
                    new.extend(match topic {
                        Topic::Shard(shard) => Some(shard),
                        Topic::All | Topic::Own => None,
                    });
                }
            }
        };
        // Subscriptions that do not fit into the limit are retried with the next heartbeat.
        let _ = time::timeout(SUBSCRIBE_LIMIT, listening).await;
        if new.is_empty() {
            return;
        }
        // The request follows the subscriptions on one connection, so that every later message is received.
        // Earlier changes are read from the database, because the loss is signalled below.
        let request = ControlMessage::SnapshotRequest { shards: new };
        self.link.send_to_all(&request).await;
        let _ = time::timeout(FLUSH_LIMIT, self.link.0.client.flush()).await;
        hub.signal_loss();
    }

    /// Unsubscribes from the shards that have no socket of this node any more.
    fn unsubscribe_idle(&mut self, hub: &Hub) {
        let shards = hub.shards_of_interest();
        self.subscriptions.retain(|topic, _| match topic {
            Topic::Shard(shard) => shards.binary_search(shard).is_ok(),
            Topic::All | Topic::Own => true,
        });
    }

    /// Subscribes to a topic. Returns the task that forwards its messages to the hub; dropping the task ends
    /// the subscription. `None` if the client does not take the subscription.
    async fn listen(&self, hub: &Hub, topic: Topic) -> Option<AbortOnDropHandle<()>> {
        let subjects = &self.link.0.subjects;
        let subject = match topic {
            Topic::All => subjects.all.clone(),
            Topic::Own => subjects.of(self.link.0.node),
            Topic::Shard(shard) => subjects.shards[usize::from(shard)].clone(),
        };
        let subscriber = self.link.0.client.subscribe(subject).await.ok()?;
        let listening = receive(subscriber, self.link.clone(), hub.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(listening)))
    }
}

/// Forwards the messages of a subscription to the hub, until the subscription ends.
async fn receive(mut subscriber: Subscriber, link: Link, hub: Hub) {
    while let Some(message) = subscriber.next().await {
        let Some(message) = wire::read(message.payload) else {
            continue;
        };
        if message.node == link.0.node {
            continue;
        }
        link.received(message.age_ms);
        match message.body {
            WireBody::Changes(chat, bytes) => {
                // Decoded only if a socket of this node is in the chat.
                if hub.is_occupied(chat)
                    && let Some(batch) = wire::frames(chat, bytes)
                {
                    hub.deliver_remote(chat, batch);
                }
            }
            WireBody::Ephemeral(chat, frame) => {
                if hub.is_occupied(chat) && frame.is_ephemeral(chat) {
                    hub.deliver(chat, Event::Ephemeral(frame));
                }
            }
            WireBody::Control(note) => link.apply(&hub, message.node, note),
        }
    }
}

impl Link {
    /// Applies a control message of another node.
    fn apply(&self, hub: &Hub, node: NodeId, message: ControlMessage) {
        let ControlMessage::Heartbeat { hears, digests } = message else {
            return hub.apply_control_message(node, message);
        };
        let known_for = hub.on_heartbeat(node, &digests);
        // A node that has been known only briefly may not have received a heartbeat of this node yet.
        if known_for > NODE_TIMEOUT && !hears.contains(&self.0.node) {
            self.0.unheard.store(true, Relaxed);
        }
    }
}

/// Publishes the hub's events, in their order, until `stop`. An event that has left the queue is published to
/// its end.
async fn publish(link: &Link, outbound: &mut mpsc::Receiver<Queued>, stop: &CancellationToken) {
    while let Some(Some(queued)) = stop.run_until_cancelled(outbound.recv()).await {
        link.publish(queued).await;
    }
}

/// Releases each buffered batch at the end of its reorder timeout. All batches have one timeout, so that the
/// queue is in the order of the deadlines.
async fn release(mut buffered: mpsc::Receiver<(Instant, ChatId)>, hub: Hub) {
    while let Some((time, chat)) = buffered.recv().await {
        time::sleep_until(time.min(Instant::now() + REORDER_TIMEOUT)).await;
        hub.release_due(chat, Instant::now());
    }
}
