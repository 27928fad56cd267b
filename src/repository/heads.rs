//! The heads of chats that a transaction has locked, moved on by its changes.

use super::message::Head;
use crate::model::{ChatId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// The head of each locked chat. A chat that does not exist has none.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    seqs: BTreeMap<ChatId, Seq>,
    /// The chats with a new head.
    moved: BTreeSet<ChatId>,
}

impl Heads {
    /// Returns the head of a chat, moved on by the changes so far.
    #[must_use]
    pub fn get(&self, chat: ChatId) -> Option<Seq> {
        self.seqs.get(&chat).copied()
    }

    /// Takes the next number of a chat, which becomes its head. None if the chat does not exist.
    pub fn next(&mut self, chat: ChatId) -> Option<Seq> {
        let head = self.seqs.get_mut(&chat)?;
        *head = head.next();
        self.moved.insert(chat);
        Some(*head)
    }

    /// Returns the new heads, in order of chat.
    #[must_use]
    pub fn moved(&self) -> Vec<Head> {
        let head = |&chat_id| {
            let seq = self.get(chat_id)?;
            Some(Head { chat_id, seq })
        };
        self.moved.iter().filter_map(head).collect()
    }
}

impl FromIterator<Head> for Heads {
    fn from_iter<I: IntoIterator<Item = Head>>(locked: I) -> Self {
        let locked = locked.into_iter();
        Self {
            seqs: locked.map(|head| (head.chat_id, head.seq)).collect(),
            moved: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_moves_with_its_changes() {
        let head = |(chat, seq)| Head {
            chat_id: ChatId(chat),
            seq: Seq(seq),
        };
        let mut heads: Heads = [(2, 7), (1, 0), (3, 5)].map(head).into_iter().collect();
        let next = |chat| heads.next(ChatId(chat)).map(|seq| seq.0);
        assert_eq!([2, 1, 2, 4].map(next), [Some(8), Some(1), Some(9), None]);
        let moved = heads.moved().into_iter();
        let moved: Vec<(i64, i64)> = moved.map(|head| (head.chat_id.0, head.seq.0)).collect();
        assert_eq!(moved, [(1, 1), (2, 9)]);
        assert_eq!(heads.get(ChatId(3)), Some(Seq(5)));
    }
}
