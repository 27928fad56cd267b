//! The hub's exchange with other nodes: presence, control messages and heartbeats. The cluster link calls
//! the hub for each message received, and takes outgoing messages from the outbound queue.

use super::{
    DelayedLeaves, Hub, Leaves, Rooms,
    batch::Batch,
    outbound::{self, ControlMessage, NodeId, Outbound, Outbox, PossibleLoss, SnapshotPart},
    remote_presence::PresenceChange,
    room::{Event, Source},
    shards::shard_of,
};
use crate::{
    model::{ChatId, UserId},
    protocol::{Frame, Online},
};
use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::Instant;

/// The most users in one part of a presence snapshot. With user names of any length, a part stays under the
/// 1 MiB that NATS accepts.
const USERS_PER_PART: usize = 500;
/// The number of chats read under one lock for a presence snapshot.
const CHATS_PER_LOCK: usize = 100;

impl Hub {
    /// The hub of one node among several, its delayed leaves, and the queue of events for the other nodes.
    #[must_use]
    pub fn linked(leaves: Leaves) -> (Self, DelayedLeaves, Outbox) {
        let (outbound, outbox) = outbound::queue();
        let (hub, delayed) = Self::with_outbound(leaves, Some(outbound));
        (hub, delayed, outbox)
    }

    /// The number of other nodes that were heard and are not evicted.
    #[must_use]
    pub fn nodes_heard(&self) -> usize {
        self.rooms().remote.nodes().len()
    }

    /// Returns a receiver of possible losses signalled after this call.
    #[must_use]
    pub fn possible_loss(&self) -> PossibleLoss {
        PossibleLoss(self.0.loss.subscribe())
    }

    /// Signals that events of other nodes may have been lost.
    pub(crate) fn signal_loss(&self) {
        self.0.loss.send_replace(());
    }

    /// Counts a chat that had missed events of another node. Counts nothing on a single node.
    pub fn count_healed(&self) {
        if self.0.outbound.is_some() {
            self.0.healed.fetch_add(1, Relaxed);
        }
    }

    /// The number of times that a chat had missed events of another node, since the process started.
    #[must_use]
    pub fn healed(&self) -> u64 {
        self.0.healed.load(Relaxed)
    }

    /// Asks the link to subscribe to a newly occupied shard.
    pub(super) fn request_subscriptions(&self) {
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

    /// Queues an ephemeral frame to the other nodes, but not to subscribers on this node.
    pub(super) fn forward_ephemeral(&self, chat: ChatId, frame: Frame) {
        if let Some(outbound) = &self.0.outbound {
            outbound.publish(chat, &Event::Ephemeral(frame));
        }
    }

    /// Queues a control message to every other node.
    pub(super) fn publish_to_all(&self, message: ControlMessage) {
        if let Some(outbound) = &self.0.outbound {
            outbound.push(Outbound::All(message));
        }
    }

    /// Ends the wait of the chat's buffered batches that are overdue at `now`.
    pub(crate) fn release_due(&self, chat: ChatId, now: Instant) {
        if let Some(channel) = self.channel(chat) {
            self.settle(chat, channel.release_due(now));
        }
    }

    /// Delivers a batch that another node committed, in the order of seqs.
    pub(crate) fn deliver_remote(&self, chat: ChatId, batch: Batch) {
        if let (Some(channel), Some(outbound)) = (self.channel(chat), &self.0.outbound) {
            self.deliver_in_order(outbound, (chat, &channel), batch, Source::Remote);
        }
    }

    /// Applies a control message of another node. A reported end of a chat, membership, user or session is
    /// confirmed by the database before it takes effect.
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
            ControlMessage::Joined { chat, who, version } => self.update_remote(|rooms| {
                rooms
                    .remote
                    .record_version(node, version, chat, who.customer_id);
                Vec::from_iter(rooms.remote.joined(node, chat, who))
            }),
            ControlMessage::Left {
                chat,
                user,
                version,
            } => self.update_remote(|rooms| {
                rooms.remote.record_version(node, version, chat, user);
                Vec::from_iter(rooms.remote.left(node, chat, user))
            }),
            ControlMessage::Snapshot(part) => {
                self.update_remote(|rooms| rooms.remote.apply_snapshot(node, part))
            }
            ControlMessage::Leaving => self.update_remote(|rooms| rooms.remote.remove_node(node)),
            ControlMessage::SnapshotRequest { shards } => self.send_snapshot(node, shards),
            // Heartbeats are handled by the link, which knows this node's own id.
            ControlMessage::Heartbeat { .. } => {}
        }
    }

    /// Records a heartbeat of another node. Requests a snapshot of the occupied shards with a digest that
    /// differs from the presence known of the node. Returns the time since the node was first heard.
    pub(crate) fn on_heartbeat(&self, node: NodeId, digests: &[(u16, u64)]) -> Duration {
        let mut rooms = self.rooms();
        let known_for = rooms.remote.record_heartbeat(node);
        let occupied = rooms.shards.occupied();
        let shards = rooms.remote.mismatched_shards(node, &occupied, digests);
        drop(rooms);
        if !shards.is_empty()
            && let Some(outbound) = &self.0.outbound
        {
            let request = ControlMessage::SnapshotRequest { shards };
            outbound.push(Outbound::Node(node, request));
        }
        known_for
    }

    /// Sends a heartbeat to the other nodes, with the nodes heard and the presence digest of each shard.
    pub(crate) fn send_heartbeat(&self) {
        // Queued under the lock, so that the digests match the joins and leaves queued before and after
        // them.
        let rooms = self.rooms();
        let hears = rooms.remote.nodes();
        let digests = rooms.shards.digests();
        self.publish_to_all(ControlMessage::Heartbeat { hears, digests });
    }

    /// Removes the presence of nodes that were not heard for `NODE_TIMEOUT`, with `leave` frames.
    pub(crate) fn evict_dead_nodes(&self) {
        self.update_remote(|rooms| {
            let stale = rooms.remote.stale();
            let leaves = stale.into_iter().map(|node| rooms.remote.remove_node(node));
            leaves.flatten().collect()
        });
    }

    /// The occupied shards of this node. Remote presence in any further shard is forgotten.
    pub(crate) fn shards_of_interest(&self) -> Vec<u16> {
        let mut rooms = self.rooms();
        let shards = rooms.shards.occupied();
        rooms.remote.keep(&shards);
        shards
    }

    /// Sends another node a presence snapshot of the requested shards, in parts. The chats are read a few
    /// at a time, so the lock is never held for long. Joins and leaves during the snapshot get a version
    /// above the snapshot's version and are sent as events of their own.
    fn send_snapshot(&self, node: NodeId, about: Vec<u16>) {
        let shards: HashSet<u16> = about.iter().copied().collect();
        let (version, chats) = {
            let mut rooms = self.rooms();
            rooms.version += 1;
            let chats = rooms.local.keys().copied();
            let chats = chats.filter(|chat| shards.contains(&shard_of(*chat)));
            (rooms.version, chats.collect::<Vec<ChatId>>())
        };
        let (mut number, mut present) = (0, Vec::new());
        let mut push_part = |present, about| {
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
        for chats in chats.chunks(CHATS_PER_LOCK) {
            self.collect_present(chats, &mut present);
            while present.len() > USERS_PER_PART {
                push_part(present.split_off(present.len() - USERS_PER_PART), None);
            }
        }
        push_part(present, Some(about));
    }

    /// Adds the joined users of the chats to `present`.
    fn collect_present(&self, chats: &[ChatId], present: &mut Vec<(ChatId, Online)>) {
        let rooms = self.rooms();
        let rooms = chats
            .iter()
            .filter_map(|chat| Some((*chat, rooms.local.get(chat)?)));
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

    /// Applies a change of remote presence, and sends the resulting `join` and `leave` frames to this
    /// node's subscribers.
    fn update_remote(&self, change: impl FnOnce(&mut Rooms) -> Vec<PresenceChange>) {
        let mut rooms = self.rooms();
        for PresenceChange { chat, who, joined } in change(&mut rooms) {
            let Some(room) = rooms.local.get(&chat) else {
                continue;
            };
            // The user is also connected to this node, so the presence of the user has not changed.
            if room.present.contains_key(&who.customer_id) {
                continue;
            }
            room.channel.broadcast_ephemeral(match joined {
                true => Frame::join(chat, &who),
                false => Frame::leave(chat, &who),
            });
        }
    }
}
