//! Checks that the seqs of a chat run to its head from 1, or from the head at the era's beginning,
//! without a hole or a duplicate.

use super::{History, Known, things};
use crate::{
    record::{ChatId, Kind, Outcome, Seq},
    violation::{Violation, ViolationKind},
};
use std::collections::HashMap;

/// Checks the seqs. Returns the number of seqs that only an operation in doubt can explain.
pub fn check(history: &History<'_>, known: &Known, violations: &mut Vec<Violation>) -> usize {
    acked_once(history, violations);
    ids_rise(known, violations);
    let mut all = 0;
    for &chat in history.rows.keys() {
        let head = history.head(chat);
        let changes = known.changes.get(&chat);
        let missing: Vec<Seq> = (history.begin(chat) + 1..=head)
            .filter(|seq| changes.is_none_or(|changes| !changes.contains_key(seq)))
            .collect();
        let possible = in_doubt(history, known, chat) + things::unseen(history, known, chat);
        if missing.len() > possible {
            let first = &missing[..missing.len().min(10)];
            let text = format!(
                "chat {chat}: {} numbers up to {head} are of no known change, only {possible} \
                 changes may be unknown; the first: {first:?}",
                missing.len()
            );
            violations.push(Violation::new(ViolationKind::Hole, text));
        }
        all += missing.len();
    }
    all
}

/// The maximum number of changes that no ack, frame or stored row shows: edits and deletions in doubt,
/// and messages with a send in doubt that were edited before any client saw them.
fn in_doubt(history: &History<'_>, known: &Known, chat: ChatId) -> usize {
    let ops = history
        .ops()
        .filter(|op| op.chat == chat && history.is_present(op.id))
        .filter(|op| op.outcome() == Outcome::InDoubt);
    let changes = ops.filter(|op| op.kind != Kind::Send).count();
    let rows = history
        .rows
        .get(&chat)
        .into_iter()
        .flat_map(|log| &log.rows);
    let unseen = rows
        .filter(|row| !known.sent.contains_key(&(chat, row.message)))
        .count();
    changes + unseen
}

/// Checks that message ids rise in the order of sending.
fn ids_rise(known: &Known, violations: &mut Vec<Violation>) {
    let sent = known.sent.iter();
    let mut sent: Vec<_> = sent.map(|((chat, id), seq)| (*chat, *seq, *id)).collect();
    sent.sort_unstable();
    for pair in sent.windows(2) {
        if let [(chat, seq, id), (next_chat, next_seq, next_id)] = pair
            && chat == next_chat
            && id >= next_id
        {
            let text = format!(
                "chat {chat}: message {id} was sent with seq {seq}, {next_id} with {next_seq}"
            );
            violations.push(Violation::new(ViolationKind::Order, text));
        }
    }
}

/// Checks that no two operations were acknowledged with one seq.
fn acked_once(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut acked = HashMap::new();
    for op in history.ops() {
        let Some(seq) = op.seq() else { continue };
        if let Some(other) = acked.insert((op.chat, seq), op.id) {
            let text = format!(
                "chat {} seq {seq} was acknowledged to {other:?} and {:?}",
                op.chat, op.id
            );
            violations.push(Violation::new(ViolationKind::Reused, text));
        }
        if seq > history.head(op.chat) {
            let text = format!(
                "chat {} seq {seq} was acknowledged and is over the head",
                op.chat
            );
            violations.push(Violation::new(ViolationKind::Lost, text));
        }
    }
}
