//! Presence reported by other nodes, limited to the shards that this node subscribes to. Nodes silent for
//! `NODE_TIMEOUT` are evicted.

use super::{
    outbound::{NodeId, SnapshotPart},
    shards::{presence_hash, shard_of},
};
use crate::{
    model::{ChatId, UserId},
    protocol::Online,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
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

/// The number of joins and leaves remembered for each node: more than happen while a snapshot is
/// transferred.
const REMEMBERED_CHANGES: usize = 4096;

/// A complete presence snapshot of some shards of a node.
#[derive(Debug)]
pub(super) struct PresenceSnapshot {
    /// The node's version when the snapshot was begun.
    pub(super) version: u64,
    /// The shards covered.
    pub(super) about: Vec<u16>,
    /// The users in the covered shards.
    pub(super) present: Vec<(ChatId, Online)>,
}

/// The parts received so far of a snapshot.
#[derive(Default)]
pub(super) struct SnapshotAssembler {
    /// The version of the snapshot that is being received.
    version: u64,
    /// The number of the part expected next.
    next: u32,
    present: Vec<(ChatId, Online)>,
}

impl SnapshotAssembler {
    /// Adds a part. Returns the snapshot with its last part. Returns `None` if a part is missing, because the
    /// users of the lost part would appear to leave.
    pub(super) fn add(&mut self, part: SnapshotPart) -> Option<PresenceSnapshot> {
        if part.number == 0 {
            *self = Self {
                version: part.version,
                ..Self::default()
            };
        }
        if (part.version, part.number) != (self.version, self.next) {
            *self = Self::default();
            return None;
        }
        self.next += 1;
        self.present.extend(part.present);
        Some(PresenceSnapshot {
            about: part.about?,
            version: self.version,
            present: mem::take(self).present,
        })
    }
}

/// Recent joins and leaves of a node, in the order of its version. A snapshot begun before one of them is
/// stale for that user and must not overwrite it.
#[derive(Default)]
pub(super) struct RecentChanges {
    /// Version, chat and user; oldest first.
    latest: VecDeque<(u64, ChatId, UserId)>,
    /// The highest version that was dropped from `latest`.
    forgotten: u64,
}

impl RecentChanges {
    /// Records a join or leave.
    pub(super) fn note(&mut self, version: u64, chat: ChatId, user: UserId) {
        if self.latest.len() >= REMEMBERED_CHANGES
            && let Some((version, ..)) = self.latest.pop_front()
        {
            self.forgotten = self.forgotten.max(version);
        }
        self.latest.push_back((version, chat, user));
    }

    /// The users that joined or left after `version`; `None` if the joins and leaves since then are no longer
    /// all remembered.
    pub(super) fn after(&self, version: u64) -> Option<HashSet<(ChatId, UserId)>> {
        let later = self.latest.iter().filter(|(at, ..)| *at > version);
        (self.forgotten <= version).then(|| later.map(|&(_, chat, user)| (chat, user)).collect())
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

#[cfg(test)]
mod snapshot_tests {
    use super::*;

    fn part(version: u64, number: u32, about: Option<Vec<u16>>) -> SnapshotPart {
        let who = Online {
            customer_id: UserId(i64::from(number)),
            username: "carl".to_owned(),
        };
        SnapshotPart {
            version,
            number,
            about,
            present: vec![(ChatId(1), who)],
        }
    }

    #[test]
    fn an_incomplete_snapshot_is_dropped() {
        let mut parts = SnapshotAssembler::default();
        assert!(parts.add(part(1, 0, None)).is_none());
        assert!(parts.add(part(1, 1, None)).is_none());
        let whole = parts.add(part(1, 2, Some(vec![7])));
        assert_eq!(whole.map(|answer| answer.present.len()), Some(3));
        // The second of three parts is lost; then the first part; then a part of another snapshot comes
        // between.
        for lost in [
            &[(2, 0), (2, 2)][..],
            &[(3, 1), (3, 2)],
            &[(4, 0), (5, 0), (4, 2)],
        ] {
            for &(version, number) in lost {
                let about = (number == 2).then(|| vec![7]);
                assert!(
                    parts.add(part(version, number, about)).is_none(),
                    "{lost:?}"
                );
            }
        }
        let whole = parts.add(part(6, 0, Some(vec![7])));
        assert_eq!(whole.map(|answer| answer.present.len()), Some(1));
    }

    #[test]
    fn forgotten_changes_are_reported_as_unknown() {
        let mut recent = RecentChanges::default();
        for version in 1..=REMEMBERED_CHANGES as u64 + 1 {
            recent.note(version, ChatId(1), UserId(version as i64));
        }
        assert_eq!(recent.after(0), None);
        assert_eq!(
            recent.after(1).map(|some| some.len()),
            Some(REMEMBERED_CHANGES)
        );
        let last = HashSet::from([(ChatId(1), UserId(REMEMBERED_CHANGES as i64 + 1))]);
        assert_eq!(recent.after(REMEMBERED_CHANGES as u64), Some(last));
    }
}
