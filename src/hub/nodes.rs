//! What the hub tells the other nodes, and what it does about what they tell.

use super::{
    Hub, Leaves, Rooms, Shared,
    room::{Batch, Event, Source},
};
use crate::{
    cluster::{
        Figures, Link, LinkOptions, LinkState, LinkWork, NodeId, Note, Part, Passage, STALE,
        shard_of,
    },
    model::{ChatId, UserId},
    protocol::{Frame, Online},
};
use std::{collections::HashSet, future, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// Users in one part of an answer: with names of any length it stays under the 1 MiB that NATS
/// takes.
const PART: usize = 500;
/// Chats that are read at once for an answer.
const CHATS: usize = 100;

/// Tells when the link may have lost something.
pub struct Doubts(Option<watch::Receiver<()>>);

impl Doubts {
    /// Waits until it may have, since this was asked last; for ever where there is none.
    pub async fn next(&mut self) {
        if let Some(doubts) = &mut self.0
            && doubts.changed().await.is_ok()
        {
            return;
        }
        future::pending().await
    }
}

impl Hub {
    /// A hub that hears of the other nodes, and what keeps it informed until it is told to stop.
    ///
    /// # Errors
    /// A sentence about what is wrong with the options; not where NATS is away.
    pub async fn linked(options: LinkOptions, leaves: Leaves) -> Result<(Self, LinkWork), String> {
        let (link, work) = Link::new(options).await?;
        let link = Some(link);
        let shared = Shared {
            link,
            leaves,
            ..Shared::default()
        };
        Ok((Self(Arc::new(shared)), work))
    }

    /// Whether this node is connected to NATS, over which it hears the others.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        match &self.0.link {
            Some(link) if link.is_up() => LinkState::Up,
            Some(_) => LinkState::Down,
            None => LinkState::None,
        }
    }

    /// How many other nodes are heard.
    #[must_use]
    pub fn nodes_heard(&self) -> usize {
        self.rooms().elsewhere.nodes().len()
    }

    /// What the link has done; nothing where there is none.
    #[must_use]
    pub fn link_figures(&self) -> Figures {
        let link = self.0.link.as_ref();
        link.map_or_else(Figures::default, |link| link.counters().read())
    }

    /// Tells from here on when the link may have lost something.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        Doubts(self.0.link.as_ref().map(Link::doubts))
    }

    /// Counts that a chat had missed something.
    pub fn count_healed(&self) {
        if let Some(link) = &self.0.link {
            link.counters().healed();
        }
    }

    pub(super) fn want(&self) {
        if let Some(link) = &self.0.link {
            link.want();
        }
    }

    pub(super) fn came_here(&self, chat: ChatId, who: &Online, version: u64) {
        if let Some(link) = &self.0.link {
            link.here(chat, who, version);
        }
    }

    pub(super) fn went_here(&self, chat: ChatId, user: UserId, version: u64) {
        if let Some(link) = &self.0.link {
            link.gone(chat, user, version);
        }
    }

    pub(super) fn pass_elsewhere(&self, chat: ChatId, frame: Frame) {
        if let Some(link) = &self.0.link {
            link.publish(chat, &Event::Passing(frame));
        }
    }

    /// Tells every other node.
    pub(super) fn tell_all(&self, note: &Note) {
        if let Some(link) = &self.0.link {
            link.note_all(note);
        }
    }

    /// Sends what a chat has held back until now.
    pub(crate) fn release(&self, chat: ChatId, now: Instant) {
        if let Some(channel) = self.channel(chat) {
            self.settle(chat, channel.release(now));
        }
    }

    /// Puts changes of another node in their turn.
    pub(crate) fn heard(&self, link: &Link, chat: ChatId, batch: Batch) {
        if let Some(channel) = self.channel(chat) {
            self.put_in_turn(link, (chat, &channel), batch, Source::There);
        }
    }

    /// Does what another node's note says. The end of a chat, a membership, a user or a session is
    /// asked of the database first.
    pub(crate) fn noted(&self, link: &Link, node: NodeId, note: Note) {
        match note {
            Note::Removed { chat, user } => self.deliver(chat, Event::SaidRemoved(user)),
            Note::Closed { chat } if self.is_occupied(chat) => self.claim_chat(chat),
            Note::Closed { .. } => {}
            Note::UserEnded { user } => self.claim_user(user),
            Note::SessionEnded { session } => self.claim_session(session),
            Note::Renamed { user, from, to } => self.rename_here(user, &from, &to),
            Note::Here { chat, who, version } => self.change(|rooms| {
                rooms
                    .elsewhere
                    .counted(node, version, chat, who.customer_id);
                Vec::from_iter(rooms.elsewhere.came(node, chat, who))
            }),
            Note::Gone {
                chat,
                user,
                version,
            } => self.change(|rooms| {
                rooms.elsewhere.counted(node, version, chat, user);
                Vec::from_iter(rooms.elsewhere.went(node, chat, user))
            }),
            Note::Present(part) => self.change(|rooms| rooms.elsewhere.answered(node, part)),
            Note::Farewell => self.change(|rooms| rooms.elsewhere.bury(node)),
            Note::Ask { shards } => self.answer(link, node, shards),
            Note::Beat { hears, digests } => {
                let mut rooms = self.rooms();
                // A node that has just come may not have heard this one yet.
                if rooms.elsewhere.heard(node) > STALE && !hears.contains(&link.node()) {
                    link.is_unheard();
                }
                let occupied = rooms.shards.occupied();
                let shards = rooms.elsewhere.differing(node, &occupied, &digests);
                if !shards.is_empty() {
                    link.note_to(node, &Note::Ask { shards });
                }
            }
        }
    }

    /// Tells the other nodes that this one lives, and who is connected to it in short.
    pub(crate) fn beat(&self, link: &Link) {
        // Sent under the lock, so that what is told before and after it matches.
        let rooms = self.rooms();
        let hears = rooms.elsewhere.nodes();
        let digests = rooms.shards.digests();
        link.note_all(&Note::Beat { hears, digests });
    }

    /// Takes away who was connected to nodes that are dead.
    pub(crate) fn bury_the_dead(&self) {
        self.change(|rooms| {
            let stale = rooms.elsewhere.stale();
            let buried = stale.into_iter().map(|node| rooms.elsewhere.bury(node));
            buried.flatten().collect()
        });
    }

    /// The shards that somebody here is in; of the others, what is known is forgotten.
    pub(crate) fn shards_of_interest(&self) -> Vec<u16> {
        let mut rooms = self.rooms();
        let shards = rooms.shards.occupied();
        rooms.elsewhere.keep(&shards);
        shards
    }

    /// Tells a node who is connected here. The chats are read a few at a time, and what is told is
    /// made outside the lock: who comes and goes meanwhile counts on from the answer's own number,
    /// and is told besides.
    fn answer(&self, link: &Link, node: NodeId, about: Vec<u16>) {
        let shards: HashSet<u16> = about.iter().copied().collect();
        let (version, chats) = {
            let mut rooms = self.rooms();
            rooms.version += 1;
            let chats = rooms.here.keys().copied();
            let chats = chats.filter(|chat| shards.contains(&shard_of(*chat)));
            (rooms.version, chats.collect::<Vec<ChatId>>())
        };
        let (mut number, mut present) = (0, Vec::new());
        let mut tell = |present, about| {
            let part = Part {
                version,
                number,
                about,
                present,
            };
            number += 1;
            link.note_to(node, &Note::Present(part));
        };
        for chats in chats.chunks(CHATS) {
            self.gather(chats, &mut present);
            while present.len() > PART {
                tell(present.split_off(present.len() - PART), None);
            }
        }
        tell(present, Some(about));
    }

    /// Who is announced in the chats.
    fn gather(&self, chats: &[ChatId], present: &mut Vec<(ChatId, Online)>) {
        let rooms = self.rooms();
        let rooms = chats
            .iter()
            .filter_map(|chat| Some((*chat, rooms.here.get(chat)?)));
        present.extend(rooms.flat_map(|(chat, room)| {
            room.present.iter().map(move |(&customer_id, who)| {
                let username = who.username.clone();
                let who = Online {
                    customer_id,
                    username: username.to_string(),
                };
                (chat, who)
            })
        }));
    }

    /// Changes who is known to be elsewhere, and tells those here who came and went by it.
    fn change(&self, change: impl FnOnce(&mut Rooms) -> Vec<Passage>) {
        let mut rooms = self.rooms();
        for Passage { chat, who, came } in change(&mut rooms) {
            let Some(room) = rooms.here.get(&chat) else {
                continue;
            };
            // Whoever is connected here too came or went for nobody.
            if room.present.contains_key(&who.customer_id) {
                continue;
            }
            room.channel.pass(match came {
                true => Frame::join(chat, &who),
                false => Frame::leave(chat, &who),
            });
        }
    }
}
