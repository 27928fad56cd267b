//! Checks the frames that each socket got of each chat: in order, without a hole or a duplicate, and of
//! the type that fits a client that knows every change up to its cursor. A socket of the original API gets frames about
//! messages alone: the numbers of other changes are missing, and it may miss no message.

use super::{History, Known};
use crate::{
    record::{Event, Frame, FrameKind, Segment, Seq, State, Thing},
    violation::{Violation, ViolationKind},
};
use std::collections::HashMap;

/// Checks every segment of every socket.
pub fn check(history: &History<'_>, known: &Known, violations: &mut Vec<Violation>) {
    for segment in history.journals.iter().flat_map(|j| &j.segments) {
        let mut check = SegmentCheck {
            history,
            known,
            segment,
            violations,
            position: segment.since,
            live: segment.original,
            replay: None,
        };
        for event in &segment.events {
            check.event(event);
        }
        check.finish(false);
    }
}

/// A sequence of replayed frames: its cursor, and the last seq of each thing.
struct Replay {
    from: Seq,
    /// True if the cursor is only a later place: that of an original socket, which does not know its own.
    late: bool,
    delivered: HashMap<Thing, Seq>,
}

/// The state of the check after some of the events of a segment.
struct SegmentCheck<'a> {
    history: &'a History<'a>,
    known: &'a Known,
    segment: &'a Segment,
    violations: &'a mut Vec<Violation>,
    /// The seq up to which the socket was sent changes. Without `since`, `None` until connect-chat is
    /// answered; on an original socket, until the first frame.
    position: Option<Seq>,
    /// True once connect-chat was answered.
    live: bool,
    replay: Option<Replay>,
}

impl SegmentCheck<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Frame(frame) if self.segment.original => self.original_frame(frame),
            Event::Frame(frame) => self.frame(frame),
            Event::Entered(_) => {}
            Event::Connected { seq, truncated } => self.connected(*seq, *truncated),
            Event::Heartbeat(seq) => {
                if self.position != Some(*seq) {
                    let position = self.position;
                    self.report(
                        ViolationKind::Order,
                        format!("a heartbeat says {seq} at {position:?}"),
                    );
                }
            }
        }
    }

    fn connected(&mut self, seq: Seq, truncated: bool) {
        self.live = true;
        let position = self.position;
        if truncated {
            if position.is_none_or(|since| seq - since <= 1000) || self.replay.is_some() {
                self.report(
                    ViolationKind::Order,
                    format!("truncated to {seq} at {position:?}"),
                );
            }
        } else if position.is_some_and(|position| position != seq) {
            self.report(
                ViolationKind::Hole,
                format!("connected at {seq}, was sent up to {position:?}"),
            );
        }
        self.finish(!truncated);
        self.position = Some(seq);
    }

    /// Checks a frame on a socket of the original API.
    fn original_frame(&mut self, frame: &Frame) {
        if !matches!(frame.thing, Thing::Message(_)) {
            self.report(
                ViolationKind::Protocol,
                format!("an original socket got {frame:?}"),
            );
        }
        let Some(position) = self.position else {
            return self.first_frame(frame);
        };
        if frame.seq <= position {
            self.report(ViolationKind::Order, format!("after {position}: {frame:?}"));
        }
        if frame.replay {
            self.replayed(frame, position, false);
        } else {
            self.finish(true);
            self.no_message_between(position, frame.seq);
        }
        self.position = Some(frame.seq);
    }

    /// Checks the first frame of an original socket. It was in the chat before its own first change, so that this
    /// change comes at the latest.
    fn first_frame(&mut self, frame: &Frame) {
        let mut events = self.segment.events.iter();
        let entered = events.find_map(|event| match event {
            Event::Entered(seq) => Some(*seq),
            _ => None,
        });
        if frame.replay {
            self.replayed(frame, frame.seq - 1, true);
        } else if let Some(entered) = entered.filter(|entered| *entered < frame.seq) {
            self.no_message_between(entered - 1, frame.seq);
        }
        self.position = Some(frame.seq);
    }

    /// Checks that no message is known to have changed between two live frames of an original socket.
    fn no_message_between(&mut self, before: Seq, after: Seq) {
        let changes = self.known.changes.get(&self.segment.chat);
        let mut missed = changes
            .into_iter()
            .flat_map(|changes| changes.range(before + 1..after))
            .filter(|(_, change)| matches!(change.thing, Thing::Message(_)));
        if let Some((seq, change)) = missed.next() {
            let text = format!("{after} came after {before}, and {seq} did not: {change}");
            self.report(ViolationKind::Hole, text);
        }
    }

    fn frame(&mut self, frame: &Frame) {
        let Some(position) = self.position else {
            return self.report(
                ViolationKind::Order,
                format!("before the answer to connect-chat: {frame:?}"),
            );
        };
        if frame.seq <= position {
            self.report(ViolationKind::Order, format!("after {position}: {frame:?}"));
        }
        if frame.replay {
            self.replayed(frame, position, false);
        } else {
            if !self.live {
                self.report(
                    ViolationKind::Order,
                    format!("live before connect-chat's answer: {frame:?}"),
                );
            }
            if frame.seq > position + 1 {
                self.report(
                    ViolationKind::Hole,
                    format!("live after {position}: {frame:?}"),
                );
            }
            self.finish(true);
        }
        self.position = Some(frame.seq);
    }

    fn replayed(&mut self, frame: &Frame, position: Seq, late: bool) {
        let replay = self.replay.get_or_insert_with(|| Replay {
            from: position,
            late,
            delivered: HashMap::new(),
        });
        let again = replay.delivered.insert(frame.thing, frame.seq).is_some();
        let Thing::Message(message) = frame.thing else {
            return;
        };
        let sent = self.known.sent.get(&(self.segment.chat, message));
        let right = match (frame.state, sent) {
            (State::Deleted, _) => frame.kind == FrameKind::Deleted,
            _ if replay.late => true,
            _ if again => frame.kind == FrameKind::Edited,
            (_, Some(sent)) if *sent > replay.from => frame.kind == FrameKind::Sent,
            (_, Some(_)) => frame.kind == FrameKind::Edited,
            (_, None) => true,
        };
        if !right {
            let from = replay.from;
            self.report(
                ViolationKind::WrongType,
                format!("a replay after {from}, message sent {sent:?}: {frame:?}"),
            );
        }
    }

    /// Ends a sequence of replayed frames. A complete sequence must have, for every known change in its
    /// range, that change or a later one of its thing. A sequence that was broken off may lack
    /// things that have changed again since.
    fn finish(&mut self, complete: bool) {
        let (Some(replay), Some(position)) = (self.replay.take(), self.position) else {
            return;
        };
        let Some(changes) = self.known.changes.get(&self.segment.chat) else {
            return;
        };
        let takes = |thing| !self.segment.original || matches!(thing, Thing::Message(_));
        let mut missing = Vec::new();
        for (&seq, change) in changes.range(replay.from + 1..=position) {
            let came = replay
                .delivered
                .get(&change.thing)
                .is_some_and(|&last| last >= seq);
            let entry = self.history.entry(self.segment.chat, change.thing);
            let moved = entry.is_some_and(|entry| entry.seq > position);
            if takes(change.thing) && !came && (complete || !moved) {
                missing.push((seq, *change));
            }
        }
        if let Some((seq, change)) = missing.first() {
            let (from, count) = (replay.from, missing.len());
            let text = format!(
                "a replay from {from} to {position} left out {count}, the first: {seq} {change}"
            );
            self.report(ViolationKind::Hole, text);
        }
    }

    fn report(&mut self, kind: ViolationKind, text: String) {
        let Segment {
            client,
            socket,
            chat,
            since,
            ..
        } = self.segment;
        let place = format!("client {client} socket {socket} chat {chat} since {since:?}");
        self.violations
            .push(Violation::new(kind, format!("{place}: {text}")));
    }
}
