//! Collects every change that an ack, a frame or the store shows. Two changes with one seq that
//! disagree, or a change that the store lacks, were published before their commit or are lost.

use super::History;
use crate::{
    record::{ChatId, Event, FrameKind, Kind, MessageId, Op, Outcome, Seq, State, Thing},
    violation::{Violation, ViolationKind},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// The source of a known change.
#[derive(Clone, Copy)]
pub enum Source {
    Ack { client: u32 },
    Frame { client: u32, socket: u32 },
    Store,
    Restored,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ack { client } => write!(f, "acked to client {client}"),
            Self::Frame { client, socket } => {
                write!(f, "seen by client {client} on socket {socket}")
            }
            Self::Store => f.write_str("in the store"),
            Self::Restored => f.write_str("in the store when the era began"),
        }
    }
}

/// A change of a thing.
#[derive(Clone, Copy)]
pub struct Change {
    pub thing: Thing,
    pub state: State,
    pub source: Source,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            thing,
            state,
            source,
        } = self;
        write!(f, "{thing:?} {state:?} ({source})")
    }
}

/// The known changes of each chat by seq, and the seq at which each message was sent.
#[derive(Default)]
pub struct Known {
    pub changes: BTreeMap<ChatId, BTreeMap<Seq, Change>>,
    pub sent: HashMap<(ChatId, MessageId), Seq>,
    /// Changes that contradict another change with an equal seq.
    others: Vec<(ChatId, Seq, Change)>,
}

/// Collects the known changes and reports contradictions.
pub fn gather(history: &History<'_>, violations: &mut Vec<Violation>) -> Known {
    let mut known = Known::default();
    for op in history.ops() {
        let source = Source::Ack {
            client: op.id.client,
        };
        for ack in &op.acks {
            let deleted = matches!(op.kind, Kind::Delete(_)).then_some(State::Deleted);
            if let (Some(seq), Some(state)) = (ack.seq, ack.state.or(deleted)) {
                let change = Change::new(Thing::Message(ack.message), state, source);
                violations.extend(known.add(op.chat, seq, change));
            }
        }
    }
    for segment in history.journals.iter().flat_map(|j| &j.segments) {
        let source = Source::Frame {
            client: segment.client,
            socket: segment.socket,
        };
        for event in &segment.events {
            let Event::Frame(frame) = event else { continue };
            let change = Change::new(frame.thing, frame.state, source);
            violations.extend(known.add(segment.chat, frame.seq, change));
        }
    }
    for (all, source) in [
        (history.baseline, Source::Restored),
        (history.rows, Source::Store),
    ] {
        for (&chat, log) in all {
            for entry in &log.entries {
                let change = Change::new(entry.thing, entry.state, source);
                violations.extend(known.add(chat, entry.seq, change));
            }
        }
    }
    known.find_sent(history);
    known
}

impl Change {
    fn new(thing: Thing, state: State, source: Source) -> Self {
        Self {
            thing,
            state,
            source,
        }
    }
}

impl Known {
    /// Adds a change. Returns a violation if it contradicts a change with an equal seq.
    fn add(&mut self, chat: ChatId, seq: Seq, change: Change) -> Option<Violation> {
        let changes = self.changes.entry(chat).or_default();
        let known = *changes.entry(seq).or_insert(change);
        if (known.thing, known.state) == (change.thing, change.state) {
            return None;
        }
        self.others.push((chat, seq, change));
        let text = format!("chat {chat} seq {seq} is two changes: {known} and {change}");
        Some(Violation::new(ViolationKind::Reused, text))
    }

    fn all(&self) -> impl Iterator<Item = (ChatId, Seq, &Change)> {
        let first = self.changes.iter().flat_map(|(&chat, changes)| {
            changes
                .iter()
                .map(move |(&seq, change)| (chat, seq, change))
        });
        first.chain(
            self.others
                .iter()
                .map(|(chat, seq, change)| (*chat, *seq, change)),
        )
    }

    /// Records the seq at which each message was sent, if it is known.
    fn find_sent(&mut self, history: &History<'_>) {
        for (&chat, changes) in &self.changes {
            for (&seq, change) in changes {
                let (State::Text(id), Thing::Message(message)) = (change.state, change.thing)
                else {
                    continue;
                };
                if history.op(id).is_some_and(|op| op.kind == Kind::Send) {
                    self.sent.entry((chat, message)).or_insert(seq);
                }
            }
        }
    }
}

/// Checks that every known change was requested, is stored, and was not undone.
pub fn check(history: &History<'_>, known: &Known, violations: &mut Vec<Violation>) {
    let deletes = deletes(history);
    for (chat, seq, change) in known.all() {
        let mut report = |kind, what: &str| {
            let text = format!("chat {chat} seq {seq} {change}: {what}");
            violations.push(Violation::new(kind, text));
        };
        let Some(entry) = history.entry(chat, change.thing) else {
            report(ViolationKind::Uncommitted, "the store has no such thing");
            continue;
        };
        let other = entry.seq == seq && entry.state != change.state;
        if other || entry.seq < seq || history.head(chat) < seq {
            report(
                ViolationKind::Uncommitted,
                &format!("the store has {entry:?}"),
            );
        }
        let asked = match (change.state, change.thing) {
            (State::Text(id), Thing::Message(message)) => match history.op(id) {
                Some(op) => {
                    let user = history.row(chat, message).and_then(|row| row.user);
                    explains(op, chat, seq, message, user)
                }
                None => Err("an operation that does not exist"),
            },
            (State::Deleted, Thing::Message(id)) if deletes.contains(&(chat, id)) => Ok(()),
            (State::Deleted, Thing::Message(_)) => Err("no operation deleted it"),
            // The check of things looks for the act.
            (State::Member(..), Thing::Member(_)) | (State::Named(_), Thing::Chat) => Ok(()),
            _ => Err("a state of no operation"),
        };
        if let Err(why) = asked {
            report(ViolationKind::Unexplained, why);
        }
    }
    kinds(history, violations);
}

/// The messages that a client may have deleted: those with a deletion that was not refused.
fn deletes(history: &History<'_>) -> HashSet<(ChatId, MessageId)> {
    let possible = history.ops().filter(|op| op.outcome() != Outcome::Refused);
    let target = |op: &Op| match op.kind {
        Kind::Delete(message) => Some((op.chat, message)),
        _ => None,
    };
    possible.filter_map(target).collect()
}

/// Checks that an operation can have made this change.
fn explains(
    op: &Op,
    chat: ChatId,
    seq: Seq,
    message: MessageId,
    user: Option<i64>,
) -> Result<(), &'static str> {
    let target = match op.kind {
        Kind::Send => op.acks.first().is_none_or(|ack| ack.message == message),
        Kind::Edit(Some(target)) => target == message,
        Kind::Edit(None) => true,
        Kind::Delete(_) => false,
    };
    if op.chat != chat || !target || user != Some(op.user) {
        return Err("the operation was about another message");
    }
    if op.outcome() == Outcome::Refused {
        return Err("the operation was refused");
    }
    if op.seq().is_some_and(|acked| acked != seq) {
        return Err("the operation was acknowledged with another seq");
    }
    Ok(())
}

/// Checks that the type of each live frame fits the operation that made the change.
fn kinds(history: &History<'_>, violations: &mut Vec<Violation>) {
    for segment in history.journals.iter().flat_map(|j| &j.segments) {
        for event in &segment.events {
            let Event::Frame(frame) = event else { continue };
            let right = match frame.state {
                State::Text(id) => match history.op(id).map(|op| op.kind) {
                    Some(Kind::Send) => frame.replay || frame.kind == FrameKind::Sent,
                    Some(Kind::Edit(_)) => frame.replay || frame.kind == FrameKind::Edited,
                    _ => true,
                },
                State::Deleted => frame.kind == FrameKind::Deleted,
                State::Member(..) | State::Named(_) | State::Foreign => true,
            };
            if !right {
                let (client, socket) = (segment.client, segment.socket);
                let text = format!("client {client} socket {socket}: of the wrong type: {frame:?}");
                violations.push(Violation::new(ViolationKind::WrongType, text));
            }
        }
    }
}
