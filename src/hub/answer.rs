//! A node's answer to who is connected to it: it comes in parts, of which any may be lost, while
//! people come and go.

use super::link::Part;
use crate::{
    model::{ChatId, UserId},
    protocol::Online,
};
use std::{
    collections::{HashSet, VecDeque},
    mem,
};

/// How many of the latest who came and went are remembered of each node: more than come and go
/// while an answer is on its way.
const REMEMBERED: usize = 4096;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// When it was begun, by the node's count.
    pub(super) version: u64,
    /// The shards that it is about.
    pub(super) about: Vec<u16>,
    /// Everyone in them.
    pub(super) present: Vec<(ChatId, Online)>,
}

/// The parts of an answer that have come so far.
#[derive(Default)]
pub(super) struct Parts {
    version: u64,
    next: u32,
    present: Vec<(ChatId, Online)>,
}

impl Parts {
    /// Adds a part; gives the answer with its last one. Where one of them is missing, there is no
    /// answer: it would make those in the lost part leave.
    pub(super) fn add(&mut self, part: Part) -> Option<Answer> {
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
        Some(Answer {
            about: part.about?,
            version: self.version,
            present: mem::take(self).present,
        })
    }
}

/// Who came to a node and went lately, in the order of its count: an answer that was begun before
/// says nothing of them.
#[derive(Default)]
pub(super) struct Recent {
    latest: VecDeque<(u64, ChatId, UserId)>,
    forgotten: u64,
}

impl Recent {
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

    fn part(version: u64, number: u32, about: Option<Vec<u16>>) -> Part {
        let who = Online {
            customer_id: UserId(i64::from(number)),
            username: "carl".to_owned(),
        };
        Part {
            version,
            number,
            about,
            present: vec![(ChatId(1), who)],
        }
    }

    #[test]
    fn an_answer_is_whole_or_none() {
        let mut parts = Parts::default();
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
        let mut recent = Recent::default();
        for version in 1..=REMEMBERED as u64 + 1 {
            recent.note(version, ChatId(1), UserId(version as i64));
        }
        assert_eq!(recent.after(0), None);
        assert_eq!(recent.after(1).map(|some| some.len()), Some(REMEMBERED));
        let last = HashSet::from([(ChatId(1), UserId(REMEMBERED as i64 + 1))]);
        assert_eq!(recent.after(REMEMBERED as u64), Some(last));
    }
}
