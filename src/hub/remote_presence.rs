//! Who is connected to the other nodes, as they tell: in the chats of those shards that somebody
//! here is in, and of nobody who has not been heard of for a while.

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

/// A node that was not heard for so long is dead: more than three of its beats. Looked after at
/// every beat of our own, so that its users are gone at most 13 s after it.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(10);

type Users = HashMap<UserId, Arc<str>>;

/// The other nodes.
#[derive(Default)]
pub(crate) struct RemotePresence(HashMap<NodeId, Node>);

/// One of them.
struct Node {
    /// Since when it is known.
    since: Instant,
    heard: Instant,
    present: HashMap<ChatId, Users>,
    /// By shard, to be compared with what it says of itself.
    digests: HashMap<u16, u64>,
    /// Who came and went lately.
    recent: RecentChanges,
    /// The parts of an answer whose last part is still to come.
    coming: SnapshotAssembler,
}

/// Somebody came or went, seen over all other nodes.
pub(crate) struct PresenceChange {
    pub(crate) chat: ChatId,
    pub(crate) who: Online,
    pub(crate) came: bool,
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

    /// Everyone in those chats.
    fn everyone(&self, is_meant: impl Fn(ChatId) -> bool) -> Vec<(ChatId, UserId)> {
        let chats = self.present.iter().filter(|(chat, _)| is_meant(**chat));
        chats
            .flat_map(|(&chat, users)| users.keys().map(move |&user| (chat, user)))
            .collect()
    }
}

impl RemotePresence {
    /// Whether the user is connected to the chat on another node.
    pub(crate) fn has(&self, chat: ChatId, user: UserId) -> bool {
        let mut nodes = self.0.values();
        nodes.any(|node| {
            node.present
                .get(&chat)
                .is_some_and(|u| u.contains_key(&user))
        })
    }

    /// Who is connected to the chat on other nodes; one on several comes several times.
    pub(crate) fn online(&self, chat: ChatId) -> impl Iterator<Item = (UserId, Arc<str>)> + '_ {
        let users = self
            .0
            .values()
            .filter_map(move |node| node.present.get(&chat));
        users
            .flatten()
            .map(|(&user, username)| (user, Arc::clone(username)))
    }

    /// A node lives; tells for how long it is known.
    pub(crate) fn heard(&mut self, node: NodeId) -> Duration {
        let node = self.node(node);
        node.heard = Instant::now();
        node.since.elapsed()
    }

    /// All of them.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.keys().copied().collect()
    }

    /// A user is connected there.
    pub(crate) fn came(
        &mut self,
        node: NodeId,
        chat: ChatId,
        who: Online,
    ) -> Option<PresenceChange> {
        let known = self.has(chat, who.customer_id);
        self.node(node).add(chat, &who);
        let came = true;
        (!known).then_some(PresenceChange { chat, who, came })
    }

    /// A user is no longer connected there.
    pub(crate) fn went(
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
        let came = false;
        (!self.has(chat, user)).then_some(PresenceChange { chat, who, came })
    }

    /// A user has another name: wherever the old one is shown, the new one takes its place.
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

    /// Somebody came there or went, by the node's count.
    pub(crate) fn counted(&mut self, node: NodeId, version: u64, chat: ChatId, user: UserId) {
        self.node(node).recent.note(version, chat, user);
    }

    /// A part of a node's answer to who is connected there. Whoever came or went since it was begun
    /// is left as they are.
    pub(crate) fn answered(&mut self, id: NodeId, part: SnapshotPart) -> Vec<PresenceChange> {
        let node = self.node(id);
        let Some(answer) = node.coming.add(part) else {
            return Vec::new();
        };
        // Where that is not known any more, the next beat shows what is different.
        let Some(later) = node.recent.after(answer.version) else {
            return Vec::new();
        };
        let about: HashSet<u16> = answer.about.into_iter().collect();
        let present = answer.present.into_iter();
        let present = present.map(|(chat, who)| ((chat, who.customer_id), who));
        let mut present: HashMap<(ChatId, UserId), Online> = present.collect();
        present.retain(|key, _| !later.contains(key));
        let known = node.everyone(|chat| about.contains(&shard_of(chat)));
        let gone = known.into_iter();
        let gone = gone.filter(|key| !present.contains_key(key) && !later.contains(key));
        let mut passages: Vec<PresenceChange> = gone
            .filter_map(|(chat, user)| self.went(id, chat, user))
            .collect();
        let came = present.into_iter();
        passages.extend(came.filter_map(|((chat, _), who)| self.came(id, chat, who)));
        passages
    }

    /// The shards, of those that somebody here is in, of which the node says something else than is
    /// known here.
    pub(crate) fn mismatched_shards(
        &mut self,
        node: NodeId,
        of: &[u16],
        said: &[(u16, u64)],
    ) -> Vec<u16> {
        let said: HashMap<u16, u64> = said.iter().copied().collect();
        let known = &self.node(node).digests;
        of.iter()
            .filter(|shard| known.get(shard) != said.get(shard))
            .copied()
            .collect()
    }

    /// A node is gone.
    pub(crate) fn remove_node(&mut self, node: NodeId) -> Vec<PresenceChange> {
        let Some(buried) = self.0.get(&node) else {
            return Vec::new();
        };
        let everyone = buried.everyone(|_| true);
        let passages = everyone
            .into_iter()
            .filter_map(|(chat, user)| self.went(node, chat, user))
            .collect();
        self.0.remove(&node);
        passages
    }

    /// The nodes that have not been heard for too long.
    pub(crate) fn stale(&self) -> Vec<NodeId> {
        let stale = self
            .0
            .iter()
            .filter(|(_, node)| node.heard.elapsed() > NODE_TIMEOUT);
        stale.map(|(&id, _)| id).collect()
    }

    /// Forgets the chats of all shards but these.
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
            coming: SnapshotAssembler::default(),
        })
    }
}

/// How many of the latest who came and went are remembered of each node: more than come and go
/// while an answer is on its way.
const REMEMBERED: usize = 4096;

/// A whole answer.
#[derive(Debug)]
pub(super) struct PresenceSnapshot {
    /// When it was begun, by the node's count.
    pub(super) version: u64,
    /// The shards that it is about.
    pub(super) about: Vec<u16>,
    /// Everyone in them.
    pub(super) present: Vec<(ChatId, Online)>,
}

/// The parts of an answer that have come so far.
#[derive(Default)]
pub(super) struct SnapshotAssembler {
    version: u64,
    next: u32,
    present: Vec<(ChatId, Online)>,
}

impl SnapshotAssembler {
    /// Adds a part; gives the answer with its last one. Where one of them is missing, there is no
    /// answer: it would make those in the lost part leave.
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

/// Who came to a node and went lately, in the order of its count: an answer that was begun before
/// says nothing of them.
#[derive(Default)]
pub(super) struct RecentChanges {
    latest: VecDeque<(u64, ChatId, UserId)>,
    forgotten: u64,
}

impl RecentChanges {
    /// Somebody came or went.
    pub(super) fn note(&mut self, version: u64, chat: ChatId, user: UserId) {
        if self.latest.len() >= REMEMBERED
            && let Some((version, ..)) = self.latest.pop_front()
        {
            self.forgotten = self.forgotten.max(version);
        }
        self.latest.push_back((version, chat, user));
    }

    /// Who came or went after that; none where that is not remembered.
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

    fn seen(passages: impl IntoIterator<Item = PresenceChange>) -> Vec<(i64, bool)> {
        let seen = passages.into_iter();
        seen.map(|passage| (passage.who.customer_id.0, passage.came))
            .collect()
    }

    #[test]
    fn a_user_on_two_nodes_comes_once_and_goes_once() {
        let mut others = RemotePresence::default();
        assert_eq!(seen(others.came(ONE, CHAT, user(1))), [(1, true)]);
        assert_eq!(seen(others.came(TWO, CHAT, user(1))), []);
        assert_eq!(seen(others.came(TWO, CHAT, user(1))), []);
        assert_eq!(seen(others.went(ONE, CHAT, UserId(1))), []);
        assert_eq!(seen(others.remove_node(TWO)), [(1, false)]);
        assert!(!others.has(CHAT, UserId(1)));
    }

    #[test]
    fn an_answer_in_parts_replaces_what_was_known() {
        let mut others = RemotePresence::default();
        others.came(ONE, CHAT, user(1));
        others.came(ONE, CHAT, user(2));
        let part = |number, about, n| SnapshotPart {
            version: 5,
            number,
            about,
            present: vec![(CHAT, user(n))],
        };
        assert_eq!(seen(others.answered(ONE, part(0, None, 2))), []);
        let last = part(1, Some(vec![shard_of(CHAT)]), 3);
        let mut passages = seen(others.answered(ONE, last));
        passages.sort_unstable();
        assert_eq!(passages, [(1, false), (3, true)]);
        // What it says of itself is now what is known of it.
        let digest = presence_hash(CHAT, UserId(2)) ^ presence_hash(CHAT, UserId(3));
        let shards = [shard_of(CHAT)];
        let said = [(shards[0], digest)];
        assert!(others.mismatched_shards(ONE, &shards, &said).is_empty());
        assert_eq!(others.mismatched_shards(ONE, &shards, &[]), shards);
    }

    #[test]
    fn who_came_or_went_since_an_answer_was_begun_stays_as_they_are() {
        let mut others = RemotePresence::default();
        others.came(ONE, CHAT, user(1));
        others.came(ONE, CHAT, user(2));
        // Gone and come while the answer was made: it says the opposite of both.
        others.counted(ONE, 6, CHAT, UserId(1));
        others.went(ONE, CHAT, UserId(1));
        others.counted(ONE, 7, CHAT, UserId(3));
        others.came(ONE, CHAT, user(3));
        let answer = SnapshotPart {
            version: 5,
            number: 0,
            about: Some(vec![shard_of(CHAT)]),
            present: vec![(CHAT, user(1))],
        };
        assert_eq!(seen(others.answered(ONE, answer)), [(2, false)]);
        assert!(others.has(CHAT, UserId(3)) && !others.has(CHAT, UserId(1)));
    }
}

#[cfg(test)]
mod answer_tests {
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
    fn an_answer_is_whole_or_none() {
        let mut parts = SnapshotAssembler::default();
        assert!(parts.add(part(1, 0, None)).is_none());
        assert!(parts.add(part(1, 1, None)).is_none());
        let whole = parts.add(part(1, 2, Some(vec![7])));
        assert_eq!(whole.map(|answer| answer.present.len()), Some(3));
        // The second of three is lost; then the first; then another answer comes between.
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
    fn what_is_forgotten_is_known_to_be() {
        let mut recent = RecentChanges::default();
        for version in 1..=REMEMBERED as u64 + 1 {
            recent.note(version, ChatId(1), UserId(version as i64));
        }
        assert_eq!(recent.after(0), None);
        assert_eq!(recent.after(1).map(|some| some.len()), Some(REMEMBERED));
        let last = HashSet::from([(ChatId(1), UserId(REMEMBERED as i64 + 1))]);
        assert_eq!(recent.after(REMEMBERED as u64), Some(last));
    }
}
