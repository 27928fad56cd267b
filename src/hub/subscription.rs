//! The subscription of one socket to one chat: join, typing and leave. Presence changes are sent to the
//! chat's subscribers on this node and to the other nodes.

use super::{
    DirectSocket, Hub, LinePosition, Present, RoomEntry, RoomEvents, Rooms, direct::DirectLine,
    room::Room,
};
use crate::{
    model::{ChatId, Seq, UserId},
    protocol::{Frame, Online},
};
use std::{
    collections::hash_map::Entry,
    sync::Arc,
    time::{Duration, Instant},
};

/// The shortest time between two `start-typing` frames of one user in one chat. Clients show a typing
/// notice for some seconds, and many clients send one for every key.
const TYPING_PAUSE: Duration = Duration::from_secs(3);

/// The subscription of a socket to a chat. Dropping it unsubscribes the socket and, for the user's last
/// socket, sends a `leave` frame.
pub struct Subscription {
    hub: Hub,
    chat: ChatId,
    channel: Arc<Room>,
    who: Option<Online>,
    /// The direct line of the socket. `None` while it receives the events of the room itself.
    line: Option<Arc<DirectLine>>,
}

impl Subscription {
    pub(super) fn new(hub: Hub, chat: ChatId, channel: Arc<Room>) -> Self {
        let who = None;
        Self {
            hub,
            chat,
            channel,
            who,
            line: None,
        }
    }

    /// Joins the chat as this user. If the socket is the user's first in the chat on any node, the `join`
    /// frame is broadcast and `None` is returned. Otherwise the chat knows the user already, and the frame is
    /// returned for this socket only. `None` is also returned if the chat has no entry any more.
    #[must_use]
    pub fn join(&mut self, who: Online) -> Option<Frame> {
        let mut rooms = self.hub.rooms();
        let rooms = &mut *rooms;
        let room = rooms.local.get_mut(&self.chat)?;
        let join = Frame::join(self.chat, &who);
        let username = who.username.as_str().into();
        let (present, first_here) = match room.present.entry(who.customer_id) {
            // The entry may have no socket: then its delayed `leave` frame is not sent yet, and no `join`
            // frame is due.
            Entry::Occupied(present) => (present.into_mut(), false),
            Entry::Vacant(place) => {
                let present = Present {
                    sockets: 0,
                    username,
                    last_typing: None,
                    leave_scheduled: false,
                };
                (place.insert(present), true)
            }
        };
        present.sockets += 1;
        if first_here {
            rooms.shards.toggle(self.chat, who.customer_id);
            rooms.version += 1;
            self.hub.publish_join(self.chat, &who, rooms.version);
        }
        let first = first_here && !rooms.remote.has(self.chat, who.customer_id);
        self.who = Some(who);
        if first {
            room.channel.broadcast_ephemeral(join);
            return None;
        }
        Some(join)
    }

    /// Broadcasts a `start-typing` frame to the chat on every node. Suppressed for `TYPING_PAUSE` (3 s)
    /// after the last one, from any socket of the user on this node. Without effect before `join`.
    pub fn notify_typing(&self) {
        let Some(who) = &self.who else {
            return;
        };
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.local.get_mut(&self.chat) else {
            return;
        };
        let Some(present) = room.present.get_mut(&who.customer_id) else {
            return;
        };
        if present
            .last_typing
            .is_none_or(|at| at.elapsed() >= TYPING_PAUSE)
        {
            present.last_typing = Some(Instant::now());
            let typing = Frame::typing(self.chat, &present.online(who.customer_id));
            self.hub.forward_ephemeral(self.chat, typing.clone());
            room.channel.broadcast_ephemeral(typing);
        }
    }

    /// Opens a direct line, if the socket was sent every change and has received every event of the room:
    /// `seen` is the last change, `index` the index of the last event. Afterwards the frames of the room are
    /// written to the socket, and the events that the socket subscribed to are of no use. Returns false if the
    /// room is ahead of the socket.
    #[must_use]
    pub fn open_line(&mut self, socket: DirectSocket, seen: Seq, index: u64) -> bool {
        self.line = self.channel.open_line(socket, seen, index);
        self.line.is_some()
    }

    /// True if the socket has a direct line, cut or not.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.line.is_some()
    }

    /// True if the socket has a direct line that was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_cut())
    }

    /// Closes the direct line and subscribes to the room again. Events between the cut of the line and this
    /// call are missed. `None` if there is no line.
    pub fn close_line(&mut self) -> Option<(LinePosition, RoomEvents)> {
        let line = self.line.take()?;
        Some(self.channel.close_line(&line))
    }

    /// The user that joined; `None` before `join`.
    #[must_use]
    pub fn who(&self) -> Option<&Online> {
        self.who.as_ref()
    }

    /// The head of the chat on this node: the last change that was broadcast or loaded; 0 if unknown.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.channel.head()
    }

    /// Records the chat's head as this socket has read it. Returns the head that the first socket of the
    /// chat recorded: this socket must catch up to the returned head. Returns 0 if an event set the head.
    #[must_use]
    pub fn observe_head(&self, head: Seq) -> Seq {
        self.channel.observe_head(head)
    }

    /// The number of durable events sent to the chat since its room was opened on this node.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.channel.count()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            self.channel.remove_line(line);
        }
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::keeps_ghosts() {
            return;
        }
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.local.get_mut(&self.chat) else {
            return;
        };
        room.subscriptions -= 1;
        if let Some(who) = &self.who
            && let Some(present) = room.present.get_mut(&who.customer_id)
        {
            present.sockets -= 1;
            if present.sockets == 0 && !present.leave_scheduled {
                let user = who.customer_id;
                let wait = self.hub.leave_delay(self.chat, user);
                present.leave_scheduled =
                    wait.is_some_and(|wait| self.hub.publish_leave_later(self.chat, user, wait));
                if !present.leave_scheduled {
                    self.hub.announce_leave(&mut rooms, self.chat, user);
                }
            }
        }
        rooms.close_if_empty(self.chat);
    }
}

impl Hub {
    /// Takes a permit for an immediate `leave` frame. Returns the time until the next permit; `None` if the
    /// permit was taken.
    fn leave_delay(&self, chat: ChatId, user: UserId) -> Option<Duration> {
        self.0.leaves.try_take(&(chat, user)).err()
    }

    /// Sends the `leave` frame if the user has no socket in the chat and the rate limiter permits it.
    /// Returns the time to wait if the limiter refuses; `None` if no further attempt is needed.
    pub(super) fn publish_leave_if_gone(&self, chat: ChatId, user: UserId) -> Option<Duration> {
        let mut rooms = self.rooms();
        let present = rooms.local.get_mut(&chat)?.present.get_mut(&user)?;
        if present.sockets > 0 {
            present.leave_scheduled = false;
            return None;
        }
        if let Some(wait) = self.leave_delay(chat, user) {
            return Some(wait);
        }
        self.announce_leave(&mut rooms, chat, user);
        rooms.close_if_empty(chat);
        None
    }

    /// Removes the user from the chat's presence on this node, and announces it to the other nodes. The
    /// chat's subscribers get a `leave` frame unless the user has a socket on other nodes.
    fn announce_leave(&self, rooms: &mut Rooms, chat: ChatId, user: UserId) {
        let Some(room) = rooms.local.get_mut(&chat) else {
            return;
        };
        let Some(present) = room.present.remove(&user) else {
            return;
        };
        rooms.shards.toggle(chat, user);
        rooms.version += 1;
        self.publish_leave(chat, user, rooms.version);
        if !rooms.remote.has(chat, user) {
            let gone = present.online(user);
            room.channel.broadcast_ephemeral(Frame::leave(chat, &gone));
        }
    }
}

impl Rooms {
    /// Removes the chat's room if it has no subscription and no delayed leave.
    fn close_if_empty(&mut self, chat: ChatId) {
        let is_empty = |room: &RoomEntry| room.subscriptions == 0 && room.present.is_empty();
        if self.local.get(&chat).is_some_and(is_empty) {
            self.local.remove(&chat);
            self.shards.close(chat);
        }
    }
}
