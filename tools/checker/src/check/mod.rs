//! The checks of an era: every answer and every frame is compared with the store.

mod known;
mod messages;
mod numbers;
mod removals;
mod restored;
mod segments;
mod things;
mod views;

use crate::{
    acts::Act,
    directory::Role,
    journal::Journal,
    record::{ChatId, Entry, MessageId, Op, OpId, Seq, State, Thing, UserId},
    rest::{Log, Row},
    run::Rows,
    violation::Violation,
};
use known::Known;
use std::collections::{BTreeMap, HashMap};

/// The records to check.
pub struct History<'a> {
    journals: &'a [&'a Journal],
    /// What was stored when the era began.
    baseline: &'a Rows,
    rows: &'a Rows,
    messages: BTreeMap<ChatId, HashMap<MessageId, &'a Row>>,
    entries: BTreeMap<ChatId, HashMap<Thing, &'a Entry>>,
}

/// The result of the checks.
pub struct Findings {
    /// The violations of the server's promise.
    pub violations: Vec<Violation>,
    /// The number of seqs that only an operation in doubt can explain.
    pub unexplained: usize,
}

/// Runs every check of an era. `nodes` is the number of servers.
pub fn check(journals: &[&Journal], baseline: &Rows, rows: &Rows, nodes: u32) -> Findings {
    let history = History::new(journals, baseline, rows);
    let mut violations = Vec::new();
    let known = known::gather(&history, &mut violations);
    messages::check(&history, &mut violations);
    things::check(&history, &known, &mut violations);
    known::check(&history, &known, &mut violations);
    let unexplained = numbers::check(&history, &known, &mut violations);
    segments::check(&history, &known, &mut violations);
    if nodes == 1 {
        removals::check(&history, &known, &mut violations);
    }
    views::check(&history, &mut violations);
    Findings {
        violations,
        unexplained,
    }
}

/// Checks a backup that was restored after an era against what was stored at the era's beginning and end.
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
        let messages = |log: &'a Log| log.rows.iter().map(|row| (row.message, row)).collect();
        let entries =
            |log: &'a Log| (log.entries.iter().map(|entry| (entry.thing, entry))).collect();
        Self {
            journals,
            baseline,
            rows,
            messages: (rows.iter().map(|(chat, log)| (*chat, messages(log)))).collect(),
            entries: (rows.iter().map(|(chat, log)| (*chat, entries(log)))).collect(),
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

    /// The acts in a chat.
    fn acts(&self, chat: ChatId) -> impl Iterator<Item = &'a Act> {
        let acts = self.journals.iter().flat_map(|journal| &journal.acts);
        acts.filter(move |act| act.chat == chat)
    }

    /// The head of the chat when the era began.
    fn begin(&self, chat: ChatId) -> Seq {
        self.baseline.get(&chat).map_or(0, Log::head)
    }

    /// The role of a user when the era began.
    fn first_role(&self, chat: ChatId, user: UserId) -> Option<Role> {
        let mut entries = self.baseline.get(&chat)?.entries.iter();
        let entry = entries.find(|entry| entry.thing == Thing::Member(user))?;
        match entry.state {
            State::Member(state, _) => state.role,
            _ => None,
        }
    }

    fn row(&self, chat: ChatId, message: MessageId) -> Option<&'a Row> {
        self.messages.get(&chat)?.get(&message).copied()
    }

    /// A thing in the stored log.
    fn entry(&self, chat: ChatId, thing: Thing) -> Option<&'a Entry> {
        self.entries.get(&chat)?.get(&thing).copied()
    }

    /// The head of the chat in the store.
    fn head(&self, chat: ChatId) -> Seq {
        self.rows.get(&chat).map_or(0, Log::head)
    }
}
