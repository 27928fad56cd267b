//! The hub: the connected sockets of this node, and the delivery of frames to them. Each chat with a
//! subscription has one broadcast channel, removed with its last subscription and pending leave. The hub
//! stores nothing; the database is the source of truth. If several nodes share the database, the cluster
//! link carries events between their hubs.

mod batch;
mod changed_chats;
mod claims;
mod connections;
mod delayed_leaves;
mod direct;
mod nodes;
mod outbound;
mod presence_snapshot;
mod remote_presence;
mod reorder_buffer;
mod room;
mod shards;
mod subscription;

use crate::{
    model::{ChatId, Seq, SessionId, UserId},
    protocol::{Frame, Online},
    rate_limit::KeyedRateLimiter,
};
use changed_chats::ChangedChats;
use claims::UnverifiedClaims;
use outbound::OutboundQueue;
use remote_presence::RemotePresence;
use room::{BatchOutcome, Room, Source};
use shards::Shards;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Instant,
};
use tokio::{
    sync::{mpsc, watch},
    time,
};

pub use batch::Batch;
pub use changed_chats::Noted;
pub use claims::Claims;
pub use connections::Registration;
pub use delayed_leaves::DelayedLeaves;
pub use direct::{DirectSocket, LinePosition};
pub(crate) use outbound::{ControlMessage, NodeId, Outbound, Queued, REORDER_TIMEOUT};
pub use outbound::{Outbox, PossibleLoss};
pub(crate) use remote_presence::NODE_TIMEOUT;
pub use room::{Event, RoomEvents, Sequenced};
pub(crate) use shards::{SHARDS, shard_of};
pub use subscription::Subscription;

/// Rate limiter of immediate `leave` frames, keyed by chat and user. Above the limit a `leave` frame is
/// delayed, and dropped if the user is back before it is sent. Without the limiter, a socket that
/// reconnects as fast as it may would cost a chat of a thousand users two thousand frames for each
/// reconnect.
pub type Leaves = KeyedRateLimiter<(ChatId, UserId)>;

/// The connected sockets and their chats on this node. Clones share the state.
#[derive(Clone, Default)]
pub struct Hub(Arc<HubInner>);

#[derive(Default)]
struct HubInner {
    /// A std lock: held for a few map operations and never across an await. Each join, leave and ephemeral
    /// frame to a chat takes one critical section, so that no subscriber misses a `join` or gets it twice.
    rooms: Mutex<Rooms>,
    sockets: connections::ConnectionRegistry,
    /// Claims that the database must confirm.
    claims: UnverifiedClaims,
    /// Chats that the search index must read.
    changed: ChangedChats,
    /// Limits the immediate `leave` frames of a chat.
    leaves: Leaves,
    /// Leaves that a chat is notified of later; `None` if no task publishes them.
    delayed_leaves: Option<mpsc::UnboundedSender<delayed_leaves::Leave>>,
    /// Events for the other nodes; `None` on a single node.
    outbound: Option<OutboundQueue>,
    /// Notified when events of other nodes may have been lost.
    loss: watch::Sender<()>,
    /// The number of times that a chat had missed events of another node.
    healed: AtomicU64,
}

#[derive(Default)]
struct Rooms {
    local: HashMap<ChatId, RoomEntry>,
    /// Occupied chats and presence digests of this node by shard, for the other nodes.
    shards: Shards,
    remote: RemotePresence,
    /// Counts joins, leaves and presence snapshots of this node, so that other nodes can order them.
    version: u64,
}

/// A chat with a subscription on this node, or with a delayed leave.
struct RoomEntry {
    channel: Arc<Room>,
    /// The number of subscriptions. At zero, and without a delayed leave, the entry is removed.
    subscriptions: usize,
    /// The joined users by id.
    present: HashMap<UserId, Present>,
}

struct Present {
    /// The number of joined sockets; zero while the user's `leave` frame is delayed.
    sockets: usize,
    /// Reference-counted, so that a list of thousands of names is copied outside the lock.
    username: Arc<str>,
    /// The time of the last `start-typing` frame of this user; `None` before the first.
    last_typing: Option<Instant>,
    /// True while a delayed `leave` frame is scheduled.
    leave_scheduled: bool,
}

impl Present {
    /// The user's entry in a presence list.
    fn online(&self, customer_id: UserId) -> Online {
        Online {
            customer_id,
            username: self.username.to_string(),
        }
    }
}

/// The size of the hub, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubStats {
    /// The number of chats with a subscription or a delayed leave on this node.
    pub chats: usize,
    /// The number of users with a socket on this node.
    pub users: usize,
}

impl Hub {
    /// The hub of a single node, and its delayed leaves, which a task must publish.
    #[must_use]
    pub fn new(leaves: Leaves) -> (Self, DelayedLeaves) {
        Self::with_outbound(leaves, None)
    }

    fn with_outbound(leaves: Leaves, outbound: Option<OutboundQueue>) -> (Self, DelayedLeaves) {
        let (delayed, queue) = mpsc::unbounded_channel();
        let shared = HubInner {
            leaves,
            outbound,
            delayed_leaves: Some(delayed),
            ..HubInner::default()
        };
        (Self(Arc::new(shared)), DelayedLeaves(queue))
    }

    /// Subscribes a socket to a chat, with every later event of the chat. No `join` is sent before
    /// `Subscription::join`.
    #[must_use]
    pub fn subscribe(&self, chat: ChatId) -> (Subscription, RoomEvents) {
        let channel = self.open_channel(chat);
        // Without the lock of all rooms, which would wait for the publisher of this room.
        let events = channel.subscribe();
        (Subscription::new(self.clone(), chat, channel), events)
    }

    /// The chat's broadcast channel, with one subscription more.
    fn open_channel(&self, chat: ChatId) -> Arc<Room> {
        let mut rooms = self.rooms();
        let Rooms { local, shards, .. } = &mut *rooms;
        let room = local.entry(chat).or_insert_with(|| {
            if shards.open(chat) {
                self.request_subscriptions();
            }
            RoomEntry {
                channel: Arc::default(),
                subscriptions: 0,
                present: HashMap::new(),
            }
        });
        room.subscriptions += 1;
        Arc::clone(&room.channel)
    }

    /// Publishes an event to a chat's subscribers on every node, in the order of the calls. Without
    /// subscribers the event is dropped.
    pub fn publish(&self, chat: ChatId, event: Event) {
        if let Some(outbound) = &self.0.outbound {
            outbound.publish(chat, &event);
        }
        self.deliver(chat, event);
    }

    /// Publishes an ephemeral frame to a chat's subscribers on every node. The frame may be lost.
    pub fn publish_ephemeral(&self, chat: ChatId, frame: Frame) {
        self.publish(chat, Event::Ephemeral(frame));
    }

    /// Delivers an event to the chat's subscribers on this node. A durable event must be confirmed by the
    /// database; only `RemovalReported` is confirmed by its receivers.
    pub fn deliver(&self, chat: ChatId, event: Event) {
        let Some(channel) = self.channel(chat) else {
            return;
        };
        match (event, &self.0.outbound) {
            (Event::Ephemeral(frame), _) => channel.broadcast_ephemeral(frame),
            (Event::Changes(batch), Some(outbound)) => {
                self.deliver_in_order(outbound, (chat, &channel), batch, Source::Local);
            }
            // Without other nodes, batches are posted in order of commit and need no reorder buffer. Other
            // durable events have no order among nodes.
            (event, _) => channel.broadcast(event),
        }
    }

    /// Delivers a batch that may arrive before an earlier batch of another node. If the reorder timeout of
    /// a buffered batch cannot be tracked, the batch is released at once.
    fn deliver_in_order(
        &self,
        outbound: &OutboundQueue,
        (chat, channel): (ChatId, &Room),
        batch: Batch,
        source: Source,
    ) {
        let until = time::Instant::now() + REORDER_TIMEOUT;
        let outcome = channel.deliver_in_order(batch, source, until);
        if outcome == BatchOutcome::Buffered && !outbound.track(chat, until) {
            return self.release_due(chat, until);
        }
        self.settle(chat, outcome);
    }

    /// The chat's broadcast channel; `None` if the chat has no subscription on this node.
    fn channel(&self, chat: ChatId) -> Option<Arc<Room>> {
        let rooms = self.rooms();
        let room = rooms.local.get(&chat)?;
        Some(Arc::clone(&room.channel))
    }

    /// The users that joined the chat on any node, by id, each once.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        let mut online = self.announced(chat);
        // The sort is stable and local users come first, so the name on this node wins for a user on
        // several nodes.
        online.sort_by_key(|(user, _)| *user);
        online.dedup_by_key(|(user, _)| *user);
        let online = online.into_iter().map(|(customer_id, username)| Online {
            customer_id,
            username: username.to_string(),
        });
        online.collect()
    }

    /// The users that joined the chat: first on this node, then on other nodes. A user on several nodes is
    /// repeated. The lock blocks every chat, so the caller sorts and copies outside of it.
    fn announced(&self, chat: ChatId) -> Vec<(UserId, Arc<str>)> {
        let rooms = self.rooms();
        let here = rooms.local.get(&chat).into_iter();
        let here = here.flat_map(|room| &room.present);
        let here = here.map(|(&user, present)| (user, Arc::clone(&present.username)));
        here.chain(rooms.remote.online(chat)).collect()
    }

    /// The chats with a subscription or a delayed leave on this node.
    #[must_use]
    pub fn occupied(&self) -> Vec<ChatId> {
        self.rooms().local.keys().copied().collect()
    }

    /// Each joined user on this node, with the chat.
    #[must_use]
    pub fn members_online(&self) -> Vec<(UserId, ChatId)> {
        let rooms = self.rooms();
        let everyone = rooms.local.iter().flat_map(|(&chat, room)| {
            let users = room.present.keys();
            users.map(move |&user| (user, chat))
        });
        everyone.collect()
    }

    /// The users with a socket on this node.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        self.0.sockets.users()
    }

    /// The head of the chat's room on this node: the last change that was broadcast or loaded; 0 if the head
    /// is not known yet. `None` if the chat is not occupied on this node.
    #[must_use]
    pub fn head(&self, chat: ChatId) -> Option<Seq> {
        Some(self.channel(chat)?.head())
    }

    /// The last change of each chat that is known to be stored, from commits of this node and from reads. A
    /// chat that this node knows nothing of is absent.
    #[must_use]
    pub fn stored(&self, chats: &[ChatId]) -> HashMap<ChatId, Seq> {
        let mut stored = self.0.claims.recent(chats);
        let rooms = self.rooms();
        for chat in chats {
            if let Some(room) = rooms.local.get(chat) {
                let known = stored.entry(*chat).or_insert(Seq(0));
                *known = room.channel.stored().max(*known);
            }
        }
        stored
    }

    /// Sends `Event::Reset` to every room of this node, because the database went back to an older state or
    /// was replaced. Each socket must be closed and begin again.
    pub fn reset(&self) {
        self.0.claims.reset();
        let rooms = self.rooms();
        for room in rooms.local.values() {
            room.channel.reset();
        }
    }

    /// Checks that the chat has a subscription or a delayed leave on this node.
    pub(crate) fn is_occupied(&self, chat: ChatId) -> bool {
        self.rooms().local.contains_key(&chat)
    }

    /// Checks that an event of the chat may reach a subscriber on this node or on other nodes. Always true
    /// in a cluster, because subscriptions on other nodes are not known.
    #[must_use]
    pub fn may_be_heard(&self, chat: ChatId) -> bool {
        self.0.outbound.is_some() || self.is_occupied(chat)
    }

    /// Registers a socket under its user and, if the user signed in, under its session, so that ending
    /// either closes the socket. A session or user is ended in the database before its sockets are closed,
    /// and a socket registers before it reads the database. Thus an end is either seen by the read or
    /// closes the socket.
    #[must_use]
    pub fn register(&self, user: UserId, session: Option<SessionId>) -> Registration {
        Registration::new(self.clone(), user, session)
    }

    /// Closes every socket of a deleted user on every node.
    pub fn end_user(&self, user: UserId) {
        self.publish_to_all(ControlMessage::UserEnded { user });
        self.end_user_here(user);
    }

    /// Closes every socket of a deleted user on this node only.
    pub fn end_user_here(&self, user: UserId) {
        self.0.sockets.end_user(user);
    }

    /// Closes every socket of an ended session on every node.
    pub fn end_session(&self, session: SessionId) {
        self.publish_to_all(ControlMessage::SessionEnded { session });
        self.end_session_here(session);
    }

    /// Closes every socket of an ended session on this node only.
    pub fn end_session_here(&self, session: SessionId) {
        self.0.sockets.end_session(session);
    }

    /// The sessions that have a socket on this node.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        self.0.sockets.sessions()
    }

    /// Checks that a session has a socket on this node.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.0.sockets.has_session(session)
    }

    /// Renames a user from `from` to `to` in the presence of every chat, on every node. A name other than
    /// `from`, chosen by the client at connect-chat, stays.
    pub fn rename(&self, user: UserId, from: &str, to: &str) {
        self.publish_to_all(ControlMessage::Renamed {
            user,
            from: from.to_owned(),
            to: to.to_owned(),
        });
        self.rename_here(user, from, to);
    }

    /// Renames a user in the presence known to this node, of local and of remote sockets, and tells the chats in which
    /// the user is online.
    fn rename_here(&self, user: UserId, from: &str, to: &str) {
        let frame = Frame::user_renamed(user, to);
        let to: Arc<str> = to.into();
        let mut rooms = self.rooms();
        let rooms = &mut *rooms;
        for (chat, room) in &mut rooms.local {
            let present = room.present.get_mut(&user);
            if present.is_some() || rooms.remote.has(*chat, user) {
                room.channel.broadcast_ephemeral(frame.clone());
            }
            if let Some(present) = present.filter(|present| &*present.username == from) {
                present.username = Arc::clone(&to);
            }
        }
        rooms.remote.rename(user, from, &to);
    }

    /// Returns the present size of the hub.
    #[must_use]
    pub fn hub_stats(&self) -> HubStats {
        HubStats {
            chats: self.rooms().local.len(),
            users: self.0.sockets.user_count(),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Every critical section leaves the map consistent even if it panics, so a poisoned lock is still
        // usable.
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
