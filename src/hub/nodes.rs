//! What the hub tells the other nodes, and what it does about what they tell.

use super::{
    DelayedLeaves, Hub, Leaves, Rooms,
    outbound::{self, ControlMessage, NodeId, Outbound, Outbox, PossibleLoss, SnapshotPart},
    remote_presence::PresenceChange,
    room::{Batch, Event, Source},
    shards::shard_of,
};
use crate::{
    model::{ChatId, UserId},
    protocol::{Frame, Online},
};
use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::Instant;

/// Users in one part of an answer: with names of any length it stays under the 1 MiB that NATS
/// takes.
const PART: usize = 500;
/// Chats that are read at once for an answer.
const CHATS: usize = 100;

impl Hub {
    /// The hub of one node among several, its delayed leaves, and the queue of events for the other nodes.
    #[must_use]
    pub fn linked(leaves: Leaves) -> (Self, DelayedLeaves, Outbox) {
        let (outbound, outbox) = outbound::queue();
        let (hub, delayed) = Self::with_outbound(leaves, Some(outbound));
        (hub, delayed, outbox)
    }

    /// The number of other nodes that are heard.
    #[must_use]
    pub fn nodes_heard(&self) -> usize {
        self.rooms().remote.nodes().len()
    }

    /// Notifies of possible losses from here on.
    #[must_use]
    pub fn possible_loss(&self) -> PossibleLoss {
        PossibleLoss(self.0.loss.subscribe())
    }

    /// Signals that events of other nodes may have been lost.
    pub(crate) fn signal_loss(&self) {
        self.0.loss.send_replace(());
    }

    /// Counts a chat that had missed events of another node.
    pub fn count_healed(&self) {
        if self.0.outbound.is_some() {
            self.0.healed.fetch_add(1, Relaxed);
        }
    }

    /// How often a chat had missed events of another node, since the process started.
    #[must_use]
    pub fn healed(&self) -> u64 {
        self.0.healed.load(Relaxed)
    }

    pub(super) fn want(&self) {
        if let Some(outbound) = &self.0.outbound {
            outbound.request_subscriptions();
        }
    }

    pub(super) fn publish_join(&self, chat: ChatId, who: &Online, version: u64) {
        let who = who.clone();
        self.publish_to_chat(chat, || ControlMessage::Joined { chat, who, version });
    }

    pub(super) fn publish_leave(&self, chat: ChatId, user: UserId, version: u64) {
        self.publish_to_chat(chat, || ControlMessage::Left {
            chat,
            user,
            version,
        });
    }

    fn publish_to_chat(&self, chat: ChatId, message: impl FnOnce() -> ControlMessage) {
        if let Some(outbound) = &self.0.outbound {
            outbound.push(Outbound::Chat(chat, message()));
        }
    }

    pub(super) fn publish_ephemeral(&self, chat: ChatId, frame: Frame) {
        if let Some(outbound) = &self.0.outbound {
            outbound.publish(chat, &Event::Ephemeral(frame));
        }
    }

    /// Tells every other node.
    pub(super) fn publish_to_all(&self, message: ControlMessage) {
        if let Some(outbound) = &self.0.outbound {
            outbound.push(Outbound::All(message));
        }
    }

    /// Sends what a chat has held back until now.
    pub(crate) fn release(&self, chat: ChatId, now: Instant) {
        if let Some(channel) = self.channel(chat) {
            self.settle(chat, channel.release(now));
        }
    }

    /// Puts changes of another node in their turn.
    pub(crate) fn heard(&self, chat: ChatId, batch: Batch) {
        if let (Some(channel), Some(outbound)) = (self.channel(chat), &self.0.outbound) {
            self.deliver_in_order(outbound, (chat, &channel), batch, Source::There);
        }
    }

    /// Does what another node's note says. The end of a chat, a membership, a user or a session is
    /// asked of the database first.
    pub(crate) fn apply_control_message(&self, node: NodeId, message: ControlMessage) {
        match message {
            ControlMessage::Removed { chat, user } => {
                self.deliver(chat, Event::RemovalReported(user))
            }
            ControlMessage::Closed { chat } if self.is_occupied(chat) => self.claim_chat(chat),
            ControlMessage::Closed { .. } => {}
            ControlMessage::UserEnded { user } => self.claim_user(user),
            ControlMessage::SessionEnded { session } => self.claim_session(session),
            ControlMessage::Renamed { user, from, to } => self.rename_here(user, &from, &to),
            ControlMessage::Joined { chat, who, version } => self.change(|rooms| {
                rooms.remote.counted(node, version, chat, who.customer_id);
                Vec::from_iter(rooms.remote.came(node, chat, who))
            }),
            ControlMessage::Left {
                chat,
                user,
                version,
            } => self.change(|rooms| {
                rooms.remote.counted(node, version, chat, user);
                Vec::from_iter(rooms.remote.went(node, chat, user))
            }),
            ControlMessage::Snapshot(part) => {
                self.change(|rooms| rooms.remote.answered(node, part))
            }
            ControlMessage::Leaving => self.change(|rooms| rooms.remote.remove_node(node)),
            ControlMessage::SnapshotRequest { shards } => self.answer(node, shards),
            // The link answers heartbeats: it knows which node this is.
            ControlMessage::Heartbeat { .. } => {}
        }
    }

    /// Takes note of another node's heartbeat. Returns how long the node has been known, and the shards
    /// whose presence differs from its own account.
    pub(crate) fn on_heartbeat(
        &self,
        node: NodeId,
        digests: &[(u16, u64)],
    ) -> (Duration, Vec<u16>) {
        let mut rooms = self.rooms();
        let known_for = rooms.remote.heard(node);
        let occupied = rooms.shards.occupied();
        (
            known_for,
            rooms.remote.mismatched_shards(node, &occupied, digests),
        )
    }

    /// Tells the other nodes that this one lives, and who is connected to it in short.
    pub(crate) fn beat(&self) {
        // Queued under the lock, so that the joins and leaves before and after it match its digests.
        let rooms = self.rooms();
        let hears = rooms.remote.nodes();
        let digests = rooms.shards.digests();
        self.publish_to_all(ControlMessage::Heartbeat { hears, digests });
    }

    /// Takes away who was connected to nodes that are dead.
    pub(crate) fn evict_dead_nodes(&self) {
        self.change(|rooms| {
            let stale = rooms.remote.stale();
            let buried = stale.into_iter().map(|node| rooms.remote.remove_node(node));
            buried.flatten().collect()
        });
    }

    /// The shards that somebody here is in; of the others, what is known is forgotten.
    pub(crate) fn shards_of_interest(&self) -> Vec<u16> {
        let mut rooms = self.rooms();
        let shards = rooms.shards.occupied();
        rooms.remote.keep(&shards);
        shards
    }

    /// Tells a node who is connected here. The chats are read a few at a time, and what is told is
    /// made outside the lock: who comes and goes meanwhile counts on from the answer's own number,
    /// and is told besides.
    fn answer(&self, node: NodeId, about: Vec<u16>) {
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
            let part = SnapshotPart {
                version,
                number,
                about,
                present,
            };
            number += 1;
            if let Some(outbound) = &self.0.outbound {
                outbound.push(Outbound::Node(node, ControlMessage::Snapshot(part)));
            }
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
    fn change(&self, change: impl FnOnce(&mut Rooms) -> Vec<PresenceChange>) {
        let mut rooms = self.rooms();
        for PresenceChange { chat, who, came } in change(&mut rooms) {
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
