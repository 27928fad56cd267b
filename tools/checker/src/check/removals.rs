//! Checks that a client that removed itself from a chat was sent no later change of the chat on the same
//! socket. Several servers tell each other of a removal, and may send some changes until then.

use super::{History, Known};
use crate::{
    acts::{Ending, Request},
    journal::Journal,
    record::{ChatId, Event, Segment, Seq, State, Thing},
    violation::{Violation, ViolationKind},
};

/// Checks every segment of every socket.
pub fn check(history: &History<'_>, known: &Known, violations: &mut Vec<Violation>) {
    for journal in history.journals {
        for segment in &journal.segments {
            if let Some((removed, later)) = later(journal, known, segment) {
                let Segment {
                    client,
                    socket,
                    chat,
                    ..
                } = segment;
                let text = format!(
                    "client {client} socket {socket} chat {chat}: was sent {later}, removed at {removed}"
                );
                violations.push(Violation::new(ViolationKind::Removed, text));
            }
        }
    }
}

/// The number of the first removal of the client while the socket was in the chat, and of a frame after it.
fn later(journal: &Journal, known: &Known, segment: &Segment) -> Option<(Seq, Seq)> {
    // The server does not know either that a removal in doubt has happened.
    if is_in_doubt(journal, segment.chat) {
        return None;
    }
    let mut events = segment.events.iter();
    let entered = events.find_map(|event| match event {
        Event::Connected { seq, .. } | Event::Entered(seq) => Some(*seq),
        Event::Frame(_) | Event::Heartbeat(_) => None,
    })?;
    let changes = known.changes.get(&segment.chat)?;
    let mut changes = changes.range(entered + 1..);
    let removed = changes.find_map(|(&seq, change)| match (change.thing, change.state) {
        (Thing::Member(user), State::Member(state, _)) if user == journal.user => {
            state.role.is_none().then_some(seq)
        }
        _ => None,
    })?;
    let later = events.find_map(|event| match event {
        Event::Frame(frame) if frame.seq >= removed => Some(frame.seq),
        _ => None,
    })?;
    Some((removed, later))
}

/// True if it is not known whether the client was removed from the chat.
fn is_in_doubt(journal: &Journal, chat: ChatId) -> bool {
    let mut acts = journal.acts.iter().filter(|act| act.chat == chat);
    acts.any(|act| act.request == Request::Remove(journal.user) && act.ending == Ending::InDoubt)
}
