//! Presence snapshots of other nodes: puts the received parts together, and remembers the joins and leaves
//! that a late snapshot must not overwrite.

use super::outbound::SnapshotPart;
use crate::{
    model::{ChatId, UserId},
    protocol::Online,
};
use std::{
    collections::{HashSet, VecDeque},
    mem,
};

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
