//! Presence reported by other nodes, limited to the shards that this node subscribes to. Nodes silent for
//! `NODE_TIMEOUT` are evicted.

use super::{
    outbound::{NodeId, SnapshotPart},
    presence_snapshot::{RecentChanges, SnapshotAssembler},
    shards::{presence_hash, shard_of},
};
use crate::{
    model::{ChatId, UserId},
    protocol::Online,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::time::{Duration, Instant};

/// A node without a heartbeat for this time is dead: three heartbeats of 3 s were missed. Checked at each
/// of this node's own heartbeats, so the users of a dead node leave at most 13 s after its last heartbeat.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(10);

type Users = HashMap<UserId, Arc<str>>;

/// The presence known of each other node.
#[derive(Default)]
pub(crate) struct RemotePresence(HashMap<NodeId, Node>);

/// The presence known of one other node.
struct Node {
    /// The time of the first message.
    since: Instant,
    /// The time of the last heartbeat; before the first heartbeat, of the first message.
    heard: Instant,
    /// The connected users by chat.
    present: HashMap<ChatId, Users>,
    /// The digest of `present` by shard, compared with the digests in the node's heartbeats. A shard
    /// without users is absent.
    digests: HashMap<u16, u64>,
    /// Recent joins and leaves, which a late snapshot must not overwrite.
    recent: RecentChanges,
    /// The received parts of an incomplete snapshot.
    assembler: SnapshotAssembler,
}

/// A join or leave as seen over all other nodes: the user's first or last connection to the chat on them.
pub(crate) struct PresenceChange {
    pub(crate) chat: ChatId,
    pub(crate) who: Online,
    pub(crate) joined: bool,
}

impl Node {
    fn add(&mut self, chat: ChatId, who: &Online) -> bool {
        let users = self.present.entry(chat).or_default();
        let new = users
            .insert(who.customer_id, who.username.as_str().into())
            .is_none();
        if new {
            self.toggle(chat, who.customer_id);
        }
        new
    }

    fn remove(&mut self, chat: ChatId, user: UserId) -> Option<Arc<str>> {
        let users = self.present.get_mut(&chat)?;
        let username = users.remove(&user)?;
        if users.is_empty() {
            self.present.remove(&chat);
        }
        self.toggle(chat, user);
        Some(username)
    }

    fn toggle(&mut self, chat: ChatId, user: UserId) {
        let shard = shard_of(chat);
        let digest = self.digests.entry(shard).or_default();
        *digest ^= presence_hash(chat, user);
        if *digest == 0 {
            self.digests.remove(&shard);
        }
    }

    /// The user and chat pairs in the chats that `is_meant` accepts.
    fn users_where(&self, is_meant: impl Fn(ChatId) -> bool) -> Vec<(ChatId, UserId)> {
        let chats = self.present.iter().filter(|(chat, _)| is_meant(**chat));
        chats
            .flat_map(|(&chat, users)| users.keys().map(move |&user| (chat, user)))
            .collect()
    }
}

impl RemotePresence {
    /// Checks that the user is connected to the chat on another node.
    pub(crate) fn has(&self, chat: ChatId, user: UserId) -> bool {
        let mut nodes = self.0.values();
        nodes.any(|node| {
            node.present
                .get(&chat)
                .is_some_and(|u| u.contains_key(&user))
        })
    }

    /// The users connected to the chat on other nodes. A user on several nodes is repeated.
    pub(crate) fn online(&self, chat: ChatId) -> impl Iterator<Item = (UserId, Arc<str>)> + '_ {
        let users = self
            .0
            .values()
            .filter_map(move |node| node.present.get(&chat));
        users
            .flatten()
            .map(|(&user, username)| (user, Arc::clone(username)))
    }

    /// Records that a node is alive. Returns the time since the node was first heard.
    pub(crate) fn record_heartbeat(&mut self, node: NodeId) -> Duration {
        let node = self.node(node);
        node.heard = Instant::now();
        node.since.elapsed()
    }

    /// The ids of the other nodes.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.keys().copied().collect()
    }

    /// Records a join on a node. Returns a presence change if the user was on no other node.
    pub(crate) fn joined(
        &mut self,
        node: NodeId,
        chat: ChatId,
        who: Online,
    ) -> Option<PresenceChange> {
        let known = self.has(chat, who.customer_id);
        self.node(node).add(chat, &who);
        let joined = true;
        (!known).then_some(PresenceChange { chat, who, joined })
    }

    /// Records a leave on a node. Returns a presence change if the user is left on no other node; `None` if
    /// the join was not known.
    pub(crate) fn left(
        &mut self,
        node: NodeId,
        chat: ChatId,
        user: UserId,
    ) -> Option<PresenceChange> {
        let username = self.0.get_mut(&node)?.remove(chat, user)?;
        let who = Online {
            customer_id: user,
            username: username.to_string(),
        };
        let joined = false;
        (!self.has(chat, user)).then_some(PresenceChange { chat, who, joined })
    }

    /// Renames a user from `from` to `to` wherever that name is shown.
    pub(crate) fn rename(&mut self, user: UserId, from: &str, to: &Arc<str>) {
        let chats = self
            .0
            .values_mut()
            .flat_map(|node| node.present.values_mut());
        for username in chats.filter_map(|users| users.get_mut(&user)) {
            if &**username == from {
                *username = Arc::clone(to);
            }
        }
    }

    /// Records a join or leave under the node's version, for the comparison with snapshots.
    pub(crate) fn record_version(
        &mut self,
        node: NodeId,
        version: u64,
        chat: ChatId,
        user: UserId,
    ) {
        self.node(node).recent.note(version, chat, user);
    }

    /// Adds a part of a node's presence snapshot. The last part replaces the node's presence in the
    /// snapshot's shards, except for users who joined or left after the snapshot was begun. Returns the
    /// resulting presence changes.
    pub(crate) fn apply_snapshot(&mut self, id: NodeId, part: SnapshotPart) -> Vec<PresenceChange> {
        let node = self.node(id);
        let Some(answer) = node.assembler.add(part) else {
            return Vec::new();
        };
        // Later changes are forgotten, so the snapshot cannot be applied. The next heartbeat shows the
        // mismatch again.
        let Some(later) = node.recent.after(answer.version) else {
            return Vec::new();
        };
        let about: HashSet<u16> = answer.about.into_iter().collect();
        let present = answer.present.into_iter();
        let present = present.map(|(chat, who)| ((chat, who.customer_id), who));
        let mut present: HashMap<(ChatId, UserId), Online> = present.collect();
        present.retain(|key, _| !later.contains(key));
        let known = node.users_where(|chat| about.contains(&shard_of(chat)));
        let gone = known.into_iter();
        let gone = gone.filter(|key| !present.contains_key(key) && !later.contains(key));
        let mut changes: Vec<PresenceChange> = gone
            .filter_map(|(chat, user)| self.left(id, chat, user))
            .collect();
        let joined = present.into_iter();
        changes.extend(joined.filter_map(|((chat, _), who)| self.joined(id, chat, who)));
        changes
    }

    /// The shards in `of` for which the digest sent by the node differs from the presence known here.
    pub(crate) fn mismatched_shards(
        &mut self,
        node: NodeId,
        of: &[u16],
        reported: &[(u16, u64)],
    ) -> Vec<u16> {
        let reported: HashMap<u16, u64> = reported.iter().copied().collect();
        let known = &self.node(node).digests;
        of.iter()
            .filter(|shard| known.get(shard) != reported.get(shard))
            .copied()
            .collect()
    }

    /// Removes a node. Returns a leave for each of its users that is on no other node.
    pub(crate) fn remove_node(&mut self, node: NodeId) -> Vec<PresenceChange> {
        let Some(removed) = self.0.get(&node) else {
            return Vec::new();
        };
        let users = removed.users_where(|_| true);
        let changes = users
            .into_iter()
            .filter_map(|(chat, user)| self.left(node, chat, user))
            .collect();
        self.0.remove(&node);
        changes
    }

    /// The nodes not heard for `NODE_TIMEOUT`.
    pub(crate) fn stale(&self) -> Vec<NodeId> {
        let stale = self
            .0
            .iter()
            .filter(|(_, node)| node.heard.elapsed() > NODE_TIMEOUT);
        stale.map(|(&id, _)| id).collect()
    }

    /// Forgets the presence of all shards but `shards`.
    pub(crate) fn keep(&mut self, shards: &[u16]) {
        let shards: HashSet<u16> = shards.iter().copied().collect();
        for node in self.0.values_mut() {
            node.present
                .retain(|chat, _| shards.contains(&shard_of(*chat)));
            node.digests.retain(|shard, _| shards.contains(shard));
        }
    }

    fn node(&mut self, node: NodeId) -> &mut Node {
        self.0.entry(node).or_insert_with(|| Node {
            since: Instant::now(),
            heard: Instant::now(),
            present: HashMap::new(),
            digests: HashMap::new(),
            recent: RecentChanges::default(),
            assembler: SnapshotAssembler::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);
    const CHAT: ChatId = ChatId(7);

    fn user(n: i64) -> Online {
        Online {
            customer_id: UserId(n),
            username: format!("user {n}"),
        }
    }

    fn summary(changes: impl IntoIterator<Item = PresenceChange>) -> Vec<(i64, bool)> {
        let changes = changes.into_iter();
        changes
            .map(|change| (change.who.customer_id.0, change.joined))
            .collect()
    }

    #[test]
    fn a_user_on_two_nodes_comes_once_and_goes_once() {
        let mut presence = RemotePresence::default();
        assert_eq!(summary(presence.joined(ONE, CHAT, user(1))), [(1, true)]);
        assert_eq!(summary(presence.joined(TWO, CHAT, user(1))), []);
        assert_eq!(summary(presence.joined(TWO, CHAT, user(1))), []);
        assert_eq!(summary(presence.left(ONE, CHAT, UserId(1))), []);
        assert_eq!(summary(presence.remove_node(TWO)), [(1, false)]);
        assert!(!presence.has(CHAT, UserId(1)));
    }

    #[test]
    fn a_snapshot_in_parts_replaces_known_presence() {
        let mut presence = RemotePresence::default();
        presence.joined(ONE, CHAT, user(1));
        presence.joined(ONE, CHAT, user(2));
        let part = |number, about, n| SnapshotPart {
            version: 5,
            number,
            about,
            present: vec![(CHAT, user(n))],
        };
        assert_eq!(summary(presence.apply_snapshot(ONE, part(0, None, 2))), []);
        let last = part(1, Some(vec![shard_of(CHAT)]), 3);
        let mut changes = summary(presence.apply_snapshot(ONE, last));
        changes.sort_unstable();
        assert_eq!(changes, [(1, false), (3, true)]);
        // The digest sent by the node now equals the known presence.
        let digest = presence_hash(CHAT, UserId(2)) ^ presence_hash(CHAT, UserId(3));
        let shards = [shard_of(CHAT)];
        let reported = [(shards[0], digest)];
        assert!(
            presence
                .mismatched_shards(ONE, &shards, &reported)
                .is_empty()
        );
        assert_eq!(presence.mismatched_shards(ONE, &shards, &[]), shards);
    }

    #[test]
    fn changes_after_a_snapshot_was_begun_are_kept() {
        let mut presence = RemotePresence::default();
        presence.joined(ONE, CHAT, user(1));
        presence.joined(ONE, CHAT, user(2));
        // One user left and one joined while the snapshot was built: the snapshot shows the opposite of
        // both.
        presence.record_version(ONE, 6, CHAT, UserId(1));
        presence.left(ONE, CHAT, UserId(1));
        presence.record_version(ONE, 7, CHAT, UserId(3));
        presence.joined(ONE, CHAT, user(3));
        let answer = SnapshotPart {
            version: 5,
            number: 0,
            about: Some(vec![shard_of(CHAT)]),
            present: vec![(CHAT, user(1))],
        };
        assert_eq!(summary(presence.apply_snapshot(ONE, answer)), [(2, false)]);
        assert!(presence.has(CHAT, UserId(3)) && !presence.has(CHAT, UserId(1)));
    }
}
