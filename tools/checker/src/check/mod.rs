//! The checks of an era: every answer and every frame is compared with the store.

mod known;
mod messages;
mod numbers;
mod restored;
mod segments;
mod views;

use crate::{
    journal::Journal,
    record::{ChatId, MessageId, Op, OpId, Seq},
    rest::Row,
    run::Rows,
    violation::Violation,
};
use known::Known;
use std::collections::{BTreeMap, HashMap};

/// The records to check.
pub struct History<'a> {
    journals: &'a [&'a Journal],
    /// The messages that were stored when the era began.
    baseline: &'a Rows,
    rows: &'a Rows,
    by_id: BTreeMap<ChatId, HashMap<MessageId, &'a Row>>,
}

/// The result of the checks.
pub struct Findings {
    /// The violations of the server's promise.
    pub violations: Vec<Violation>,
    /// The number of seqs that only an operation in doubt can explain.
    pub unexplained: usize,
}

/// Runs every check of an era.
pub fn check(journals: &[&Journal], baseline: &Rows, rows: &Rows) -> Findings {
    let history = History::new(journals, baseline, rows);
    let mut violations = Vec::new();
    let known = known::gather(&history, &mut violations);
    messages::check(&history, &mut violations);
    known::check(&history, &known, &mut violations);
    let unexplained = numbers::check(&history, &known, &mut violations);
    segments::check(&history, &known, &mut violations);
    views::check(&history, &mut violations);
    Findings {
        violations,
        unexplained,
    }
}

/// Checks a backup that was restored after an era against the messages at the era's beginning and end.
pub fn restored(
    journals: &[&Journal],
    (baseline, rows): (&Rows, &Rows),
    restored: &Rows,
    heads: &BTreeMap<ChatId, Seq>,
) -> Vec<Violation> {
    let history = History::new(journals, baseline, rows);
    let restored = History::new(journals, baseline, restored);
    restored::check(&history, &restored, heads)
}

impl<'a> History<'a> {
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

    /// True if an operation was begun in this era.
    fn is_present(&self, id: OpId) -> bool {
        let journal = self.journals.get(id.client as usize);
        journal.is_some_and(|journal| id.number as usize >= journal.past)
    }

    /// The head of the chat when the era began.
    fn begin(&self, chat: ChatId) -> Seq {
        let rows = self.baseline.get(&chat);
        rows.and_then(|rows| rows.last()).map_or(0, |row| row.seq)
    }

    fn row(&self, chat: ChatId, message: MessageId) -> Option<&'a Row> {
        self.by_id.get(&chat)?.get(&message).copied()
    }

    /// The head of the chat in the store.
    fn head(&self, chat: ChatId) -> Seq {
        let rows = self.rows.get(&chat);
        rows.and_then(|rows| rows.last()).map_or(0, |row| row.seq)
    }
}
