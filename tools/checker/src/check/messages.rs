//! Checks that acknowledged messages are stored once, refused messages are not stored, and every stored
//! message was sent.

use super::History;
use crate::{
    record::{ChatId, Kind, MessageId, Op, OpId, Outcome, State},
    violation::{Violation, ViolationKind},
};
use std::collections::HashMap;

/// Checks the store's messages against the operations.
pub fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let stored = stored(history, violations);
    for op in history.ops() {
        match op.kind {
            Kind::Send => send(op, stored.get(&op.id).copied(), violations),
            Kind::Edit(_) | Kind::Delete(_) => change(history, op, violations),
        }
    }
    twice(history, violations);
}

/// The stored message of each send, found by its idempotency key.
fn stored(history: &History<'_>, violations: &mut Vec<Violation>) -> HashMap<OpId, MessageId> {
    let mut stored = HashMap::new();
    for (chat, log) in history.rows {
        for row in &log.rows {
            let op = row.key.as_deref().and_then(OpId::from_key);
            let op = op.and_then(|id| history.op(id)).filter(|op| {
                op.kind == Kind::Send && op.chat == *chat && row.user == Some(op.user)
            });
            let Some(op) = op else {
                let text = format!("chat {chat}: no operation sent {row:?}");
                violations.push(Violation::new(ViolationKind::Unexplained, text));
                continue;
            };
            if let Some(other) = stored.insert(op.id, row.message) {
                let text = format!("chat {chat}: message {other} has the same name as {row:?}");
                violations.push(Violation::new(ViolationKind::Doubled, text));
            }
        }
    }
    stored
}

fn send(op: &Op, stored: Option<MessageId>, violations: &mut Vec<Violation>) {
    let mut report = |kind, what: &str| {
        violations.push(Violation::new(
            kind,
            format!("{what}: {op:?}, stored as {stored:?}"),
        ));
    };
    match (op.outcome(), stored) {
        (Outcome::Acked, None) => {
            report(ViolationKind::Lost, "an acknowledged message is not stored")
        }
        (Outcome::Refused, Some(_)) => {
            report(ViolationKind::Unexplained, "a refused message is stored")
        }
        _ => {}
    }
    if op.acks.iter().any(|ack| Some(ack.message) != stored) && stored.is_some() {
        report(
            ViolationKind::Doubled,
            "an ack names another message than the stored one",
        );
    }
    if op.acks.iter().filter(|ack| !ack.duplicate).count() > 1 {
        report(ViolationKind::Doubled, "it was new more than once");
    }
}

/// Checks that an acknowledged edit or deletion is stored and was not undone.
fn change(history: &History<'_>, op: &Op, violations: &mut Vec<Violation>) {
    for ack in &op.acks {
        let row = history.row(op.chat, ack.message);
        let there = row.is_some_and(|row| {
            let deleted = row.state == State::Deleted;
            let late = ack.seq.is_none_or(|seq| row.seq >= seq);
            late && (deleted || !matches!(op.kind, Kind::Delete(_)))
        });
        if !there {
            let text = format!("an acknowledged change is not stored: {op:?}, stored: {row:?}");
            violations.push(Violation::new(ViolationKind::Lost, text));
        }
    }
}

/// Checks that no operation's text is stored twice, even under different keys.
fn twice(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut texts: HashMap<State, (ChatId, MessageId)> = HashMap::new();
    for (&chat, log) in history.rows {
        for row in log.rows.iter().filter(|row| row.state != State::Deleted) {
            if let Some(other) = texts.insert(row.state, (chat, row.message)) {
                let text =
                    format!("the same text as (chat, message) {other:?}: chat {chat} {row:?}");
                violations.push(Violation::new(ViolationKind::Doubled, text));
            }
        }
    }
}
