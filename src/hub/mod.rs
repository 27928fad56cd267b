//! Who is connected where, and how frames reach them: one broadcast channel per chat that somebody
//! is in, gone with the last one. Nothing here is stored; the database is the truth.

mod channel;
mod sockets;

use crate::{
    model::{ChatId, UserId},
    protocol::{Frame, Online},
};
use channel::Channel;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

pub use channel::{Batch, Event, Signal};
pub use sockets::Registration;

/// The chats that somebody is connected to. Cloning shares them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// A std lock: held for a few map operations and never across an await. Whoever comes, goes or
    /// is announced does so in one critical section, so that nobody misses or doubles a `join`.
    rooms: Mutex<HashMap<ChatId, Room>>,
    sockets: sockets::Sockets,
}

/// A chat that somebody is in.
struct Room {
    channel: Arc<Channel>,
    /// How many seats are taken; at zero the room goes.
    seats: usize,
    /// Who is announced, with how many sockets, under which name.
    present: HashMap<UserId, Present>,
}

struct Present {
    sockets: usize,
    username: String,
}

/// How much the hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Chats that somebody is in.
    pub chats: usize,
    /// Users with a socket.
    pub users: usize,
}

/// A socket's place in a chat. Dropping it is leaving.
pub struct Seat {
    hub: Hub,
    chat: ChatId,
    channel: Arc<Channel>,
    who: Option<Online>,
}

impl Hub {
    /// Takes a place in a chat: from here on the receiver gets all that happens there. Nobody is
    /// told yet.
    #[must_use]
    pub fn enter(&self, chat: ChatId) -> (Seat, broadcast::Receiver<Signal>) {
        let mut rooms = self.rooms();
        let room = rooms.entry(chat).or_insert_with(|| Room {
            channel: Arc::default(),
            seats: 0,
            present: HashMap::new(),
        });
        room.seats += 1;
        let channel = Arc::clone(&room.channel);
        let receiver = channel.subscribe();
        (
            Seat {
                hub: self.clone(),
                chat,
                channel,
                who: None,
            },
            receiver,
        )
    }

    /// Tells a chat what happened, in the order of the calls. Where nobody is, nobody is told.
    pub fn post(&self, chat: ChatId, event: Event) {
        let channel = self
            .rooms()
            .get(&chat)
            .map(|room| Arc::clone(&room.channel));
        if let Some(channel) = channel {
            channel.post(event);
        }
    }

    /// Who is announced in the chat, by id.
    #[must_use]
    pub fn online(&self, chat: ChatId) -> Vec<Online> {
        let rooms = self.rooms();
        let present = rooms.get(&chat).into_iter().flat_map(|room| &room.present);
        let mut online: Vec<Online> = present
            .map(|(&customer_id, p)| Online {
                customer_id,
                username: p.username.clone(),
            })
            .collect();
        online.sort_unstable_by_key(|who| who.customer_id);
        online
    }

    /// The chats that somebody is in.
    #[must_use]
    pub fn occupied(&self) -> Vec<ChatId> {
        self.rooms().keys().copied().collect()
    }

    /// Whether somebody is in the chat.
    #[must_use]
    pub fn is_occupied(&self, chat: ChatId) -> bool {
        self.rooms().contains_key(&chat)
    }

    /// Registers a socket as its user's, so that it can be closed with them.
    #[must_use]
    pub fn register(&self, user: UserId) -> Registration {
        Registration::new(self.clone(), user)
    }

    /// Closes every socket of a user.
    pub fn end(&self, user: UserId) {
        self.0.sockets.end(user);
    }

    /// How much the hub holds at this moment.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            chats: self.rooms().len(),
            users: self.0.sockets.users(),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<ChatId, Room>> {
        // Every critical section leaves the map whole, even one that panicked.
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Announces who sits here: to everyone in the chat where it is their first socket, to this
    /// one alone otherwise, by the frame that is returned.
    #[must_use]
    pub fn announce(&mut self, who: Online) -> Option<Frame> {
        let mut rooms = self.hub.rooms();
        let room = rooms.get_mut(&self.chat)?;
        let join = Frame::join(self.chat, &who);
        let username = who.username.clone();
        let present = room.present.entry(who.customer_id).or_insert(Present {
            sockets: 0,
            username,
        });
        present.sockets += 1;
        let first = present.sockets == 1;
        self.who = Some(who);
        if first {
            room.channel.pass(join);
            return None;
        }
        Some(join)
    }

    /// Who was announced here.
    #[must_use]
    pub fn who(&self) -> Option<&Online> {
        self.who.as_ref()
    }

    /// How many lasting events the chat has seen since it has somebody in it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.channel.mark()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.get_mut(&self.chat) else {
            return;
        };
        room.seats -= 1;
        if let Some(who) = &self.who
            && let Some(present) = room.present.get_mut(&who.customer_id)
        {
            present.sockets -= 1;
            if present.sockets == 0 {
                room.present.remove(&who.customer_id);
                room.channel.pass(Frame::leave(self.chat, who));
            }
        }
        if room.seats == 0 {
            rooms.remove(&self.chat);
        }
    }
}
