//! What the link does by itself: listens to the shards that somebody here is in, tells the other
//! nodes that this one lives, notices those that do not, and holds no batch for long.

use super::{
    Link,
    wire::{self, Body},
};
use crate::{
    hub::{ControlMessage, Event, Hub, NODE_TIMEOUT, NodeId, Outbound, REORDER_TIMEOUT},
    model::ChatId,
};
use async_nats::{Client, ConnectOptions, Event as NatsEvent, ServerAddr, Subscriber};
use futures_util::StreamExt;
use std::{
    collections::HashMap, convert::Infallible, mem, path::PathBuf, sync::atomic::Ordering::Relaxed,
    time::Duration,
};
use tokio::{
    select,
    sync::mpsc,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How often a node says that it lives. Another that misses three of them takes it for dead.
const BEAT: Duration = Duration::from_secs(3);
/// How long writing what was said may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// How long the subscriptions of one round may take to be handed to the client, all together.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(1);

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Topic {
    /// What concerns every node.
    All,
    /// What concerns this one.
    Own,
    /// What happens in the chats of a shard.
    Shard(u16),
}

/// The link's work.
pub struct LinkTask {
    link: Link,
    happened: mpsc::Receiver<NatsEvent>,
    /// Events of the hub for the other nodes.
    outbound: mpsc::Receiver<Outbound>,
    /// Chats with a buffered batch, and when its reorder timeout ends.
    buffered: mpsc::Receiver<(Instant, ChatId)>,
    listening: HashMap<Topic, AbortOnDropHandle<()>>,
    /// When it was connected last.
    connected: Option<Instant>,
    /// Until when silence says nothing of the other nodes: this one did not listen.
    grace_until: Option<Instant>,
    /// Whether messages were dropped since the last beat, because they came too fast.
    slow_consumer: bool,
    /// What NATS complained of last, to be logged once.
    last_error: String,
}

impl LinkTask {
    pub(super) fn new(
        link: Link,
        happened: mpsc::Receiver<NatsEvent>,
        outbound: mpsc::Receiver<Outbound>,
        buffered: mpsc::Receiver<(Instant, ChatId)>,
    ) -> Self {
        Self {
            link,
            happened,
            outbound,
            buffered,
            listening: HashMap::new(),
            connected: None,
            grace_until: None,
            slow_consumer: false,
            last_error: String::new(),
        }
    }

    /// Works until `stop`; then publishes what the hub has queued, and says goodbye to the other nodes.
    pub async fn run(mut self, hub: Hub, stop: CancellationToken) {
        let (_, mut outbound) = mpsc::channel(1);
        mem::swap(&mut outbound, &mut self.outbound);
        let (_, mut buffered) = mpsc::channel(1);
        mem::swap(&mut buffered, &mut self.buffered);
        let link = self.link.clone();
        let work = async {
            let publishing = publish(&link, &mut outbound);
            let releasing = release(buffered, hub.clone());
            tokio::join!(publishing, releasing, self.work(&hub)).2
        };
        stop.run_until_cancelled(work).await;
        let last = async {
            while let Ok(event) = outbound.try_recv() {
                link.publish(event).await;
            }
            link.send_to_all(&ControlMessage::Leaving).await;
            let _ = link.0.client.flush().await;
        };
        let _ = time::timeout(FLUSH_LIMIT, last).await;
    }

    async fn work(&mut self, hub: &Hub) -> Infallible {
        let mut beats = time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        let link = self.link.clone();
        loop {
            select! {
                Some(event) = self.happened.recv() => self.on_nats_event(hub, event).await,
                () = link.0.interest.notified() => self.subscribe_missing(hub).await,
                _ = beats.tick() => {
                    // Who slept must not take the others for dead because it did not hear them.
                    if due.elapsed() > BEAT {
                        self.reset_liveness();
                    }
                    due = Instant::now() + BEAT;
                    self.beat(hub).await;
                }
            }
        }
    }

    /// From here on the others have as long to be heard as they always have.
    fn reset_liveness(&mut self) {
        self.grace_until = Some(Instant::now() + NODE_TIMEOUT);
    }

    async fn beat(&mut self, hub: &Hub) {
        if self.grace_until.is_none_or(|until| until < Instant::now()) {
            hub.evict_dead_nodes();
        }
        if mem::take(&mut self.slow_consumer) {
            self.catch_up(hub).await;
        } else if self.link.is_up() {
            hub.beat();
        }
        self.unsubscribe_idle(hub);
        self.subscribe_missing(hub).await;
        self.reconnect_if_unheard().await;
    }

    /// Makes the connection anew where another node that is heard does not hear this one: what goes
    /// out is lost on the way, which the client alone notices only when nothing comes in either.
    async fn reconnect_if_unheard(&mut self) {
        if !self.link.is_up() {
            return;
        }
        let unheard = self.link.0.unheard.swap(false, Relaxed);
        let long = self.connected.is_some_and(|at| at.elapsed() > NODE_TIMEOUT);
        if unheard && long {
            tracing::warn!("the other servers do not hear this one; connecting to NATS anew");
            let reconnecting = self.link.0.client.force_reconnect();
            let _ = time::timeout(FLUSH_LIMIT, reconnecting).await;
        }
    }

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
                // Subscriptions that were requested while the link was down.
                self.link.0.interest.notify_one();
            }
            NatsEvent::Disconnected => {
                tracing::warn!("the link to the other servers is down; the database heals");
            }
            // One for each message that is dropped, when there is too much to do already: what was
            // missed is made up for once a beat.
            NatsEvent::SlowConsumer(_) => self.slow_consumer = true,
            NatsEvent::ServerError(_) | NatsEvent::ClientError(_) => {
                let last_error = event.to_string();
                if last_error != self.last_error {
                    tracing::warn!(complaint = %last_error, "the link to the other servers");
                    self.last_error = last_error;
                }
            }
            NatsEvent::LameDuckMode | NatsEvent::Draining | NatsEvent::Closed => {}
        }
    }

    /// Something may have been missed: changes are looked for in the database, and the other nodes
    /// are asked who is connected to them.
    async fn catch_up(&self, hub: &Hub) {
        hub.beat();
        let shards = self.listening.keys().filter_map(|topic| match topic {
            Topic::Shard(shard) => Some(*shard),
            Topic::All | Topic::Own => None,
        });
        let shards = shards.collect();
        let request = ControlMessage::SnapshotRequest { shards };
        self.link.send_to_all(&request).await;
        hub.signal_loss();
    }

    /// Listens to whatever is wanted and not listened to, or not any more. While the link is down
    /// nothing would take the subscriptions.
    async fn subscribe_missing(&mut self, hub: &Hub) {
        self.listening.retain(|_, task| !task.is_finished());
        if !self.link.is_up() {
            return;
        }
        let shards = hub.shards_of_interest().into_iter().map(Topic::Shard);
        let wanted = [Topic::All, Topic::Own].into_iter().chain(shards);
        let wanted = wanted.filter(|topic| !self.listening.contains_key(topic));
        let wanted: Vec<Topic> = wanted.collect();
        let mut new = Vec::new();
        let listening = async {
            for topic in wanted {
                if let Some(task) = self.listen(hub, topic).await {
                    self.listening.insert(topic, task);
                    new.extend(match topic {
                        Topic::Shard(shard) => Some(shard),
                        Topic::All | Topic::Own => None,
                    });
                }
            }
        };
        // What it does not come to now is tried again with the next beat.
        let _ = time::timeout(SUBSCRIBE_LIMIT, listening).await;
        if new.is_empty() {
            return;
        }
        // Behind the subscriptions, on the same connection: what comes later is heard. What came
        // before is looked for in the database.
        let request = ControlMessage::SnapshotRequest { shards: new };
        self.link.send_to_all(&request).await;
        let _ = time::timeout(FLUSH_LIMIT, self.link.0.client.flush()).await;
        hub.signal_loss();
    }

    /// Stops listening to the shards that everyone has left.
    fn unsubscribe_idle(&mut self, hub: &Hub) {
        let shards = hub.shards_of_interest();
        self.listening.retain(|topic, _| match topic {
            Topic::Shard(shard) => shards.binary_search(shard).is_ok(),
            Topic::All | Topic::Own => true,
        });
    }

    /// A task that passes on what comes of a topic; dropping it ends the subscription.
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
            Body::Changes(chat, bytes) => {
                // Read only where somebody wants it.
                if hub.is_occupied(chat)
                    && let Some(batch) = wire::frames(chat, bytes)
                {
                    hub.heard(chat, batch);
                }
            }
            Body::Passing(chat, frame) => {
                if hub.is_occupied(chat) && frame.is_of_the_moment(chat) {
                    hub.deliver(chat, Event::Ephemeral(frame));
                }
            }
            Body::Note(note) => link.apply(&hub, message.node, note).await,
        }
    }
}

impl Link {
    /// Applies a message of another node.
    async fn apply(&self, hub: &Hub, node: NodeId, message: ControlMessage) {
        let ControlMessage::Heartbeat { hears, digests } = message else {
            return hub.apply_control_message(node, message);
        };
        let (known_for, shards) = hub.on_heartbeat(node, &digests);
        // A node that has just started may not have heard this one yet.
        if known_for > NODE_TIMEOUT && !hears.contains(&self.0.node) {
            self.0.unheard.store(true, Relaxed);
        }
        if !shards.is_empty() {
            let request = ControlMessage::SnapshotRequest { shards };
            self.send_to(node, &request).await;
        }
    }
}

/// Publishes the hub's events, in order.
async fn publish(link: &Link, outbound: &mut mpsc::Receiver<Outbound>) {
    while let Some(event) = outbound.recv().await {
        link.publish(event).await;
    }
}

/// Releases what is held back when its time is up. The wait is the same for all, so that they come
/// in the order of their times.
async fn release(mut held: mpsc::Receiver<(Instant, ChatId)>, hub: Hub) {
    while let Some((time, chat)) = held.recv().await {
        time::sleep_until(time.min(Instant::now() + REORDER_TIMEOUT)).await;
        hub.release(chat, Instant::now());
    }
}

/// Messages that wait to be written to NATS; with more, a message is dropped.
const QUEUE: usize = 1024;
/// How often NATS is asked for a sign of life when it says nothing; without three of them the
/// connection counts as lost.
const PING: Duration = Duration::from_secs(2);
/// How long connecting may take, and the longest pause between two attempts.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How to reach NATS, and which servers to find there.
pub struct LinkOptions {
    /// `nats://` or `tls://` URLs of one cluster, separated by commas; user, password or token may
    /// stand in them.
    pub urls: String,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities that are trusted instead of the system's.
    pub authorities: Option<PathBuf>,
    /// What all servers on one database call it: they hear each other and nobody else.
    pub deployment: String,
    /// Messages of one subject that wait to be passed on; with more, they are dropped, and
    /// everything is compared with the database.
    pub subscription: usize,
    /// Takes note of how old each message of another server was when it came, by both clocks.
    pub on_lag: Box<dyn Fn(Duration) + Send + Sync>,
}

/// A client that connects by itself, now and whenever it must.
pub(super) async fn connect(
    options: &LinkOptions,
    events: mpsc::Sender<NatsEvent>,
) -> Result<Client, String> {
    const EXPECTED: &str = "NATS_URL must be nats://HOST:PORT or tls://HOST:PORT, with \
                            USER:PASSWORD@ or TOKEN@ before the host where NATS asks for them; \
                            several, of one cluster, are separated by commas";
    let urls = options.urls.split(',').map(|url| url.trim().parse());
    let urls: Result<Vec<ServerAddr>, _> = urls.collect();
    // The parser's own message would show the URL, and the password with it.
    let urls = urls.map_err(|_| EXPECTED.to_owned())?;
    let mut connect = ConnectOptions::new()
        .name("messaging-api")
        .no_echo()
        .retry_on_initial_connect()
        .client_capacity(QUEUE)
        .subscription_capacity(options.subscription)
        .skip_subject_validation(true)
        .ping_interval(PING)
        .connection_timeout(CONNECT_LIMIT)
        .reconnect_delay_callback(|attempt| {
            LONGEST_PAUSE.min(Duration::from_millis(50) * u32::try_from(attempt).unwrap_or(20))
        })
        .event_callback(move |event| {
            // Whoever is late to read them looks at the connection itself.
            let _ = events.try_send(event);
            async {}
        });
    if let Some(path) = &options.credentials {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|e| format!("cannot read NATS_CREDENTIALS: {e}"))?;
    }
    if let Some(path) = &options.authorities {
        connect = connect.add_root_certificates(path.clone());
    }
    let connected = connect.connect(urls).await;
    connected.map_err(|e| format!("cannot link to NATS: {e}"))
}
