//! The proof: what every client was told and saw, held against what the store has.

mod known;
mod messages;
mod numbers;
mod segments;
mod views;

use crate::{
    journal::Journal,
    record::{ChatId, MessageId, Op, OpId, Seq, Violation},
    rest::Row,
};
use known::Known;
use std::collections::{BTreeMap, HashMap};

/// All that is to be judged.
pub struct Evidence<'a> {
    journals: &'a [Journal],
    rows: &'a BTreeMap<ChatId, Vec<Row>>,
    by_id: BTreeMap<ChatId, HashMap<MessageId, &'a Row>>,
}

/// What the proof came to.
pub struct Verdict {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Numbers that only an operation in doubt can explain.
    pub unexplained: usize,
}

/// Checks everything.
pub fn check(journals: &[Journal], rows: &BTreeMap<ChatId, Vec<Row>>) -> Verdict {
    let by_id = rows
        .iter()
        .map(|(chat, rows)| (*chat, rows.iter().map(|row| (row.message, row)).collect()))
        .collect();
    let evidence = Evidence {
        journals,
        rows,
        by_id,
    };
    let mut violations = Vec::new();
    let known = known::gather(&evidence, &mut violations);
    messages::check(&evidence, &mut violations);
    known::check(&evidence, &known, &mut violations);
    let unexplained = numbers::check(&evidence, &known, &mut violations);
    segments::check(&evidence, &known, &mut violations);
    views::check(&evidence, &mut violations);
    Verdict {
        violations,
        unexplained,
    }
}

impl<'a> Evidence<'a> {
    fn ops(&self) -> impl Iterator<Item = &'a Op> {
        self.journals.iter().flat_map(|journal| &journal.ops)
    }

    fn op(&self, id: OpId) -> Option<&'a Op> {
        let journal = self.journals.get(id.client as usize)?;
        journal.ops.get(id.number as usize)
    }

    fn row(&self, chat: ChatId, message: MessageId) -> Option<&'a Row> {
        self.by_id.get(&chat)?.get(&message).copied()
    }

    /// The number of the chat's latest change, as the store has it.
    fn head(&self, chat: ChatId) -> Seq {
        let rows = self.rows.get(&chat);
        rows.and_then(|rows| rows.last()).map_or(0, |row| row.seq)
    }
}
