//! The proof: what every client was told and saw, held against what the store has.

mod known;
mod messages;
mod numbers;
mod restored;
mod segments;
mod views;

use crate::{
    journal::Journal,
    record::{ChatId, MessageId, Op, OpId, Seq, Violation},
    rest::Row,
    run::Rows,
};
use known::Known;
use std::collections::{BTreeMap, HashMap};

/// All that is to be judged.
pub struct Evidence<'a> {
    journals: &'a [&'a Journal],
    /// What was stored when the era began.
    baseline: &'a Rows,
    rows: &'a Rows,
    by_id: BTreeMap<ChatId, HashMap<MessageId, &'a Row>>,
}

/// What the proof came to.
pub struct Verdict {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Numbers that only an operation in doubt can explain.
    pub unexplained: usize,
}

/// Checks everything that an era brought.
pub fn check(journals: &[&Journal], baseline: &Rows, rows: &Rows) -> Verdict {
    let evidence = Evidence::new(journals, baseline, rows);
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

/// Checks what was restored after an era, from what was stored at its begin and its end.
pub fn restored(
    journals: &[&Journal],
    (baseline, rows): (&Rows, &Rows),
    restored: &Rows,
    heads: &BTreeMap<ChatId, Seq>,
) -> Vec<Violation> {
    let evidence = Evidence::new(journals, baseline, rows);
    let restored = Evidence::new(journals, baseline, restored);
    restored::check(&evidence, &restored, heads)
}

impl<'a> Evidence<'a> {
    fn new(journals: &'a [&'a Journal], baseline: &'a Rows, rows: &'a Rows) -> Self {
        let by_id = rows
            .iter()
            .map(|(chat, rows)| (*chat, rows.iter().map(|row| (row.message, row)).collect()))
            .collect();
        Self {
            journals,
            baseline,
            rows,
            by_id,
        }
    }

    fn ops(&self) -> impl Iterator<Item = &'a Op> {
        self.journals.iter().flat_map(|journal| &journal.ops)
    }

    fn op(&self, id: OpId) -> Option<&'a Op> {
        let journal = self.journals.get(id.client as usize)?;
        journal.ops.get(id.number as usize)
    }

    /// Whether an operation was begun in this era.
    fn is_present(&self, id: OpId) -> bool {
        let journal = self.journals.get(id.client as usize);
        journal.is_some_and(|journal| id.number as usize >= journal.past)
    }

    /// The number of the chat's latest change when the era began.
    fn begin(&self, chat: ChatId) -> Seq {
        let rows = self.baseline.get(&chat);
        rows.and_then(|rows| rows.last()).map_or(0, |row| row.seq)
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
