//! Checks that a restored backup is a consistent snapshot of each chat.

use super::{History, known};
use crate::{
    record::{ChatId, Seq},
    violation::{Violation, ViolationKind},
};
use std::collections::BTreeMap;

/// Compares the restored things with the changes known before. Each chat must end at one change, no
/// earlier than the head that was stored when the backup began.
pub fn check(
    history: &History<'_>,
    restored: &History<'_>,
    heads: &BTreeMap<ChatId, Seq>,
) -> Vec<Violation> {
    // The check of the era has already reported contradictions.
    let known = known::gather(history, &mut Vec::new());
    let mut violations = Vec::new();
    for (&chat, &least) in heads {
        let head = restored.head(chat);
        let mut report = |text: String| {
            let text = format!("chat {chat}, restored up to {head}: {text}");
            violations.push(Violation::new(ViolationKind::Restored, text));
        };
        if head < least {
            report(format!("{least} was stored before the backup was begun"));
        }
        for (seq, change) in known.changes.get(&chat).into_iter().flatten() {
            let entry = restored.entry(chat, change.thing);
            let fits = entry.is_some_and(|entry| {
                entry.seq > *seq || entry.seq == *seq && entry.state == change.state
            });
            if *seq <= head && !fits {
                report(format!("seq {seq} was {change}, restored: {entry:?}"));
            }
        }
    }
    violations
}
