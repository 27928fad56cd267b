//! Who is connected where, and how frames reach them: one broadcast channel per chat that somebody
//! is in, gone with the last one. Nothing here is stored; the database is the truth. Where several
//! servers share it, a link tells each what happens on the others.

mod claims;
mod connections;
mod delayed_leaves;
mod nodes;
mod outbound;
mod remote_presence;
mod room;
mod shards;
mod subscription;

use crate::{
    model::{ChatId, Seq, SessionId, UserId},
    protocol::{Frame, Online},
    rate_limit::KeyedRateLimiter,
};
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
    sync::{broadcast, mpsc, watch},
    time,
};

pub use claims::Claims;
pub use connections::Registration;
pub use delayed_leaves::DelayedLeaves;
pub(crate) use outbound::{ControlMessage, NodeId, Outbound, REORDER_TIMEOUT};
pub use outbound::{Outbox, PossibleLoss};
pub(crate) use remote_presence::NODE_TIMEOUT;
pub use room::{Batch, Event, Sequenced};
pub(crate) use shards::{SHARDS, shard_of};
pub use subscription::Subscription;

/// How often each chat is told at once that a user left it. One who goes on is told of a little later, and
/// not at all where they are back by then: a socket that comes and goes as fast as it may must not send a
/// chat of a thousand two thousand frames each time.
pub type Leaves = KeyedRateLimiter<(ChatId, UserId)>;

/// The chats that somebody is connected to. Cloning shares them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// A std lock: held for a few map operations and never across an await. Whoever comes, goes or
    /// is announced does so in one critical section, so that nobody misses or doubles a `join`.
    rooms: Mutex<Rooms>,
    sockets: connections::ConnectionRegistry,
    /// Claims that the database must confirm.
    doubtful: UnverifiedClaims,
    /// How often a chat is told at once that a user left.
    leaves: Leaves,
    /// Leaves that a chat is notified of later; null if no task publishes them.
    delayed_leaves: Option<mpsc::UnboundedSender<delayed_leaves::Leave>>,
    /// Events for the other nodes; null on a single node.
    outbound: Option<OutboundQueue>,
    /// Changes when events of other nodes may have been lost.
    loss: watch::Sender<()>,
    /// Times that a chat had missed events of another node.
    healed: AtomicU64,
}

#[derive(Default)]
struct Rooms {
    here: HashMap<ChatId, RoomEntry>,
    /// The same by shard, for the other nodes.
    shards: Shards,
    remote: RemotePresence,
    /// Counts who comes and goes here, and the answers to who does.
    version: u64,
}

/// A chat that somebody is in.
struct RoomEntry {
    channel: Arc<Room>,
    /// How many seats are taken; at zero the room goes.
    seats: usize,
    /// Who is announced, with how many sockets, under which name.
    present: HashMap<UserId, Present>,
}

struct Present {
    /// How many sockets; at zero the chat is still to be told that they left.
    sockets: usize,
    /// Shared, so that a list of thousands is copied outside of the lock.
    username: Arc<str>,
    /// When the chat was told that they type.
    typed: Option<Instant>,
    /// Whether the chat is to be told later that they left, where they are not back.
    leaving: bool,
}

impl Present {
    /// The user under the present name.
    fn online(&self, customer_id: UserId) -> Online {
        Online {
            customer_id,
            username: self.username.to_string(),
        }
    }
}

/// How much the hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubStats {
    /// Chats that somebody is in.
    pub chats: usize,
    /// Users with a socket.
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
        let shared = Shared {
            leaves,
            outbound,
            delayed_leaves: Some(delayed),
            ..Shared::default()
        };
        (Self(Arc::new(shared)), DelayedLeaves(queue))
    }

    /// Takes a place in a chat: from here on the receiver gets all that happens there. Nobody is
    /// told yet.
    #[must_use]
    pub fn subscribe(&self, chat: ChatId) -> (Subscription, broadcast::Receiver<Sequenced>) {
        let mut rooms = self.rooms();
        let Rooms { here, shards, .. } = &mut *rooms;
        let room = here.entry(chat).or_insert_with(|| {
            if shards.open(chat) {
                self.want();
            }
            RoomEntry {
                channel: Arc::default(),
                seats: 0,
                present: HashMap::new(),
            }
        });
        room.seats += 1;
        let channel = Arc::clone(&room.channel);
        let receiver = channel.subscribe();
        (Subscription::new(self.clone(), chat, channel), receiver)
    }

    /// Tells a chat what happened, on every node, in the order of the calls. Where nobody is,
    /// nobody is told.
    pub fn post(&self, chat: ChatId, event: Event) {
        if let Some(outbound) = &self.0.outbound {
            outbound.publish(chat, &event);
        }
        self.deliver(chat, event);
    }

    /// Passes on something of the moment, on every node: it may be lost.
    pub fn pass(&self, chat: ChatId, frame: Frame) {
        self.post(chat, Event::Ephemeral(frame));
    }

    /// Tells the sockets that are in the chat on this node of a confirmed event.
    pub fn deliver(&self, chat: ChatId, event: Event) {
        let Some(channel) = self.channel(chat) else {
            return;
        };
        match (event, &self.0.outbound) {
            (Event::Ephemeral(frame), _) => channel.pass(frame),
            (Event::Changes(batch), Some(outbound)) => {
                self.deliver_in_order(outbound, (chat, &channel), batch, Source::Here);
            }
            (event, _) => channel.post(event),
        }
    }

    fn deliver_in_order(
        &self,
        outbound: &OutboundQueue,
        (chat, channel): (ChatId, &Room),
        batch: Batch,
        source: Source,
    ) {
        let until = time::Instant::now() + REORDER_TIMEOUT;
        let turn = channel.in_turn(batch, source, until);
        if turn == BatchOutcome::Buffered && !outbound.track(chat, until) {
            return self.release(chat, until);
        }
        self.settle(chat, turn);
    }

    fn channel(&self, chat: ChatId) -> Option<Arc<Room>> {
        let rooms = self.rooms();
        let room = rooms.here.get(&chat)?;
        Some(Arc::clone(&room.channel))
    }

    /// Who is announced in the chat, by id.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        let mut online = self.announced(chat);
        // Of one who is on several nodes, the name here comes first.
        online.sort_by_key(|(user, _)| *user);
        online.dedup_by_key(|(user, _)| *user);
        let online = online.into_iter().map(|(customer_id, username)| Online {
            customer_id,
            username: username.to_string(),
        });
        online.collect()
    }

    /// Who is announced in the chat, here and then elsewhere. All other chats wait meanwhile, so that
    /// nothing is sorted or copied here.
    fn announced(&self, chat: ChatId) -> Vec<(UserId, Arc<str>)> {
        let rooms = self.rooms();
        let here = rooms.here.get(&chat).into_iter();
        let here = here.flat_map(|room| &room.present);
        let here = here.map(|(&user, present)| (user, Arc::clone(&present.username)));
        here.chain(rooms.remote.online(chat)).collect()
    }

    /// The chats that somebody is in, on this node.
    #[must_use]
    pub fn occupied(&self) -> Vec<ChatId> {
        self.rooms().here.keys().copied().collect()
    }

    /// Everyone who is announced, with their chat, on this node.
    #[must_use]
    pub fn members_online(&self) -> Vec<(UserId, ChatId)> {
        let rooms = self.rooms();
        let everyone = rooms.here.iter().flat_map(|(&chat, room)| {
            let users = room.present.keys();
            users.map(move |&user| (user, chat))
        });
        everyone.collect()
    }

    /// The users with a socket on this node.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        self.0.sockets.everyone()
    }

    /// Up to which change a chat has been told; none where nobody is in it.
    #[must_use]
    pub fn told(&self, chat: ChatId) -> Option<Seq> {
        Some(self.channel(chat)?.head())
    }

    /// Up to which change each of the chats is known to be stored, as far as that is known here.
    #[must_use]
    pub fn stored(&self, chats: &[ChatId]) -> HashMap<ChatId, Seq> {
        let mut stored = self.0.doubtful.recent(chats);
        let rooms = self.rooms();
        for chat in chats {
            if let Some(room) = rooms.here.get(chat) {
                let known = stored.entry(*chat).or_insert(Seq(0));
                *known = room.channel.stored().max(*known);
            }
        }
        stored
    }

    /// Tells every socket of this node to begin again: the log is another one.
    pub fn reset(&self) {
        self.0.doubtful.begin_again();
        let rooms = self.rooms();
        for room in rooms.here.values() {
            room.channel.reset();
        }
    }

    /// Whether somebody is in the chat, on this node.
    pub(crate) fn is_occupied(&self, chat: ChatId) -> bool {
        self.rooms().here.contains_key(&chat)
    }

    /// Whether somebody may hear what happens in the chat, here or on another node.
    #[must_use]
    pub fn is_heard(&self, chat: ChatId) -> bool {
        self.0.outbound.is_some() || self.is_occupied(chat)
    }

    /// Registers a socket as its user's and, where they signed in, its session's, so that it can be
    /// closed with either. Who ends one does so in the database first: a socket registers, then reads.
    #[must_use]
    pub fn register(&self, user: UserId, session: Option<SessionId>) -> Registration {
        Registration::new(self.clone(), user, session)
    }

    /// Closes every socket of a user, on every node: they are gone.
    pub fn end_user(&self, user: UserId) {
        self.publish_to_all(ControlMessage::UserEnded { user });
        self.end_user_here(user);
    }

    /// The same on this node.
    pub fn end_user_here(&self, user: UserId) {
        self.0.sockets.end_user(user);
    }

    /// Closes every socket of a session, on every node: it has ended.
    pub fn end_session(&self, session: SessionId) {
        self.publish_to_all(ControlMessage::SessionEnded { session });
        self.end_session_here(session);
    }

    /// The same on this node.
    pub fn end_session_here(&self, session: SessionId) {
        self.0.sockets.end_session(session);
    }

    /// The sessions that have a socket on this node.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        self.0.sockets.sessions()
    }

    /// Whether a session has a socket on this node.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.0.sockets.has_session(session)
    }

    /// Gives a user another name in the presence of every chat, on every node. A name that the client
    /// chose at connect-chat, other than `from`, stays.
    pub fn rename(&self, user: UserId, from: &str, to: &str) {
        self.publish_to_all(ControlMessage::Renamed {
            user,
            from: from.to_owned(),
            to: to.to_owned(),
        });
        self.rename_here(user, from, to);
    }

    /// Gives a user another name in what this node knows of presence.
    fn rename_here(&self, user: UserId, from: &str, to: &str) {
        let to: Arc<str> = to.into();
        let mut rooms = self.rooms();
        for room in rooms.here.values_mut() {
            if let Some(present) = room.present.get_mut(&user)
                && &*present.username == from
            {
                present.username = Arc::clone(&to);
            }
        }
        rooms.remote.rename(user, from, &to);
    }

    /// How much the hub holds at this moment.
    #[must_use]
    pub fn hub_stats(&self) -> HubStats {
        HubStats {
            chats: self.rooms().here.len(),
            users: self.0.sockets.users(),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Every critical section leaves the map whole, even one that panicked.
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
