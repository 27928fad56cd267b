//! A socket's place in a chat.

use super::{Hub, Present, RoomEntry, Rooms, room::Room};
use crate::{
    model::{ChatId, Seq, UserId},
    protocol::{Frame, Online},
};
use std::{
    collections::hash_map::Entry,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long after a chat was told that somebody types it is not told so again: clients show it for
/// some seconds, and many send one with every key.
const TYPING_PAUSE: Duration = Duration::from_secs(3);

/// A socket's place in a chat. Dropping it is leaving.
pub struct Subscription {
    hub: Hub,
    chat: ChatId,
    channel: Arc<Room>,
    who: Option<Online>,
}

impl Subscription {
    pub(super) fn new(hub: Hub, chat: ChatId, channel: Arc<Room>) -> Self {
        let who = None;
        Self {
            hub,
            chat,
            channel,
            who,
        }
    }

    /// Announces who sits here: to everyone in the chat where it is their first socket on any node,
    /// to this one alone otherwise, by the frame that is returned.
    #[must_use]
    pub fn join(&mut self, who: Online) -> Option<Frame> {
        let mut rooms = self.hub.rooms();
        let rooms = &mut *rooms;
        let room = rooms.here.get_mut(&self.chat)?;
        let join = Frame::join(self.chat, &who);
        let username = who.username.as_str().into();
        let (present, first_here) = match room.present.entry(who.customer_id) {
            // Perhaps without a socket: then the chat was not told that they left.
            Entry::Occupied(present) => (present.into_mut(), false),
            Entry::Vacant(place) => {
                let present = Present {
                    sockets: 0,
                    username,
                    typed: None,
                    leaving: false,
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
            room.channel.pass(join);
            return None;
        }
        Some(join)
    }

    /// Tells everyone in the chat, on every node, that who sits here types, unless they were told a
    /// moment ago, by this socket or another of the same user.
    pub fn notify_typing(&self) {
        let Some(who) = &self.who else {
            return;
        };
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.here.get_mut(&self.chat) else {
            return;
        };
        let Some(present) = room.present.get_mut(&who.customer_id) else {
            return;
        };
        if present.typed.is_none_or(|at| at.elapsed() >= TYPING_PAUSE) {
            present.typed = Some(Instant::now());
            let typing = Frame::typing(self.chat, &present.online(who.customer_id));
            self.hub.publish_ephemeral(self.chat, typing.clone());
            room.channel.pass(typing);
        }
    }

    /// Who was announced here.
    #[must_use]
    pub fn who(&self) -> Option<&Online> {
        self.who.as_ref()
    }

    /// Up to which change the chat has been told.
    #[must_use]
    pub fn told(&self) -> Seq {
        self.channel.head()
    }

    /// Takes note of the chat's head, as this socket has read it; gives the one that another has noted
    /// so before, which this one must catch up to.
    #[must_use]
    pub fn learn(&self, head: Seq) -> Seq {
        self.channel.learn(head)
    }

    /// How many lasting events the chat has seen since it has somebody in it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.channel.mark()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::keeps_ghosts() {
            return;
        }
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.here.get_mut(&self.chat) else {
            return;
        };
        room.seats -= 1;
        if let Some(who) = &self.who
            && let Some(present) = room.present.get_mut(&who.customer_id)
        {
            present.sockets -= 1;
            if present.sockets == 0 && !present.leaving {
                let user = who.customer_id;
                let wait = self.hub.leave_delay(self.chat, user);
                present.leaving =
                    wait.is_some_and(|wait| self.hub.publish_leave_later(self.chat, user, wait));
                if !present.leaving {
                    self.hub.went(&mut rooms, self.chat, user);
                }
            }
        }
        rooms.close_if_empty(self.chat);
    }
}

impl Hub {
    /// How long it takes until the chat may be told that the user left; none where it may be at once.
    fn leave_delay(&self, chat: ChatId, user: UserId) -> Option<Duration> {
        self.0.leaves.try_take(&(chat, user)).err()
    }

    /// Tells the chat that the user left, where they did and are not back; else how long to wait.
    pub(super) fn publish_leave_if_gone(&self, chat: ChatId, user: UserId) -> Option<Duration> {
        let mut rooms = self.rooms();
        let present = rooms.here.get_mut(&chat)?.present.get_mut(&user)?;
        if present.sockets > 0 {
            present.leaving = false;
            return None;
        }
        if let Some(wait) = self.leave_delay(chat, user) {
            return Some(wait);
        }
        self.went(&mut rooms, chat, user);
        rooms.close_if_empty(chat);
        None
    }

    /// The user has no socket in the chat any more, and everyone hears of it.
    fn went(&self, rooms: &mut Rooms, chat: ChatId, user: UserId) {
        let Some(room) = rooms.here.get_mut(&chat) else {
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
            room.channel.pass(Frame::leave(chat, &gone));
        }
    }
}

impl Rooms {
    fn close_if_empty(&mut self, chat: ChatId) {
        let is_empty = |room: &RoomEntry| room.seats == 0 && room.present.is_empty();
        if self.here.get(&chat).is_some_and(is_empty) {
            self.here.remove(&chat);
            self.shards.close(chat);
        }
    }
}
