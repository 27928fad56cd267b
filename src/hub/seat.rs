//! A socket's place in a chat.

use super::{Hub, Present, channel::Channel};
use crate::{
    model::{ChatId, Seq},
    protocol::{Frame, Online},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long after a chat was told that somebody types it is not told so again: clients show it for
/// some seconds, and many send one with every key.
const TYPING_PAUSE: Duration = Duration::from_secs(3);

/// A socket's place in a chat. Dropping it is leaving.
pub struct Seat {
    hub: Hub,
    chat: ChatId,
    channel: Arc<Channel>,
    who: Option<Online>,
}

impl Seat {
    pub(super) fn new(hub: Hub, chat: ChatId, channel: Arc<Channel>) -> Self {
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
    pub fn announce(&mut self, who: Online) -> Option<Frame> {
        let mut rooms = self.hub.rooms();
        let rooms = &mut *rooms;
        let room = rooms.here.get_mut(&self.chat)?;
        let join = Frame::join(self.chat, &who);
        let username = who.username.as_str().into();
        let present = room.present.entry(who.customer_id).or_insert(Present {
            sockets: 0,
            username,
            typed: None,
        });
        present.sockets += 1;
        let first_here = present.sockets == 1;
        if first_here {
            rooms.shards.toggle(self.chat, who.customer_id);
            rooms.version += 1;
            self.hub.came_here(self.chat, &who, rooms.version);
        }
        let first = first_here && !rooms.elsewhere.has(self.chat, who.customer_id);
        self.who = Some(who);
        if first {
            room.channel.pass(join);
            return None;
        }
        Some(join)
    }

    /// Tells everyone in the chat, on every node, that who sits here types, unless they were told a
    /// moment ago, by this socket or another of the same user.
    pub fn type_here(&self) {
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
            self.hub.pass_elsewhere(self.chat, typing.clone());
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

impl Drop for Seat {
    fn drop(&mut self) {
        #[cfg(feature = "planted-faults")]
        if crate::planted::keeps_ghosts() {
            return;
        }
        let mut rooms = self.hub.rooms();
        let rooms = &mut *rooms;
        let Some(room) = rooms.here.get_mut(&self.chat) else {
            return;
        };
        room.seats -= 1;
        if let Some(who) = &self.who
            && let Some(present) = room.present.get_mut(&who.customer_id)
        {
            present.sockets -= 1;
            if present.sockets == 0 {
                let gone = present.online(who.customer_id);
                room.present.remove(&who.customer_id);
                rooms.shards.toggle(self.chat, who.customer_id);
                rooms.version += 1;
                self.hub
                    .went_here(self.chat, who.customer_id, rooms.version);
                if !rooms.elsewhere.has(self.chat, who.customer_id) {
                    room.channel.pass(Frame::leave(self.chat, &gone));
                }
            }
        }
        if room.seats == 0 {
            rooms.here.remove(&self.chat);
            rooms.shards.close(self.chat);
        }
    }
}
