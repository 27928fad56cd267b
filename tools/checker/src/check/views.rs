//! Checks that after the final resume every client's view equals the store.

use super::History;
use crate::violation::{Violation, ViolationKind};

/// Checks each client's view of each chat.
pub fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    for journal in history.journals {
        for (&chat, seq) in &journal.finals {
            let mut report = |text: String| {
                let text = format!("client {} chat {chat}: {text}", journal.client);
                violations.push(Violation::new(ViolationKind::View, text));
            };
            let head = history.head(chat);
            if *seq != head {
                report(format!(
                    "the final resume said {seq}, the store is at {head}"
                ));
            }
            let entries = history.rows.get(&chat).map_or(&[][..], |log| &log.entries);
            let view = journal.views.get(&chat).map(|view| &view.things);
            for entry in entries {
                let seen = view.and_then(|view| view.get(&entry.thing));
                if seen != Some(&(entry.seq, entry.state)) {
                    report(format!("has {seen:?}, the store has {entry:?}"));
                }
            }
            let more = view.map_or(0, |view| view.len());
            if more > entries.len() {
                report(format!("has {more} things, the store {}", entries.len()));
            }
        }
    }
}
