//! Checks the frames that each socket got of each chat: in order, without a hole or a duplicate, and of
//! the type that fits a client that knows every change up to its cursor.

use super::{History, Known};
use crate::{
    record::{Event, Frame, FrameKind, MessageId, Segment, Seq, State},
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
            live: false,
            replay: None,
        };
        for event in &segment.events {
            check.event(event);
        }
        check.finish(false);
    }
}

/// A sequence of replayed frames: its cursor, and the last seq of each message.
struct Replay {
    from: Seq,
    delivered: HashMap<MessageId, Seq>,
}

/// The state of the check after some of the events of a segment.
struct SegmentCheck<'a> {
    history: &'a History<'a>,
    known: &'a Known,
    segment: &'a Segment,
    violations: &'a mut Vec<Violation>,
    /// The seq up to which the socket was sent changes. Without `since`, `None` until connect-chat is
    /// answered.
    position: Option<Seq>,
    /// True once connect-chat was answered.
    live: bool,
    replay: Option<Replay>,
}

impl SegmentCheck<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Frame(frame) => self.frame(frame),
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
            self.replayed(frame, position);
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

    fn replayed(&mut self, frame: &Frame, position: Seq) {
        let replay = self.replay.get_or_insert_with(|| Replay {
            from: position,
            delivered: HashMap::new(),
        });
        let again = replay.delivered.insert(frame.message, frame.seq).is_some();
        let sent = self.known.sent.get(&(self.segment.chat, frame.message));
        let right = match (frame.state, sent) {
            (State::Deleted, _) => frame.kind == FrameKind::Deleted,
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
    /// range, that change or a later one of its message. A sequence that was broken off may lack
    /// messages that have changed again since.
    fn finish(&mut self, complete: bool) {
        let (Some(replay), Some(position)) = (self.replay.take(), self.position) else {
            return;
        };
        let Some(changes) = self.known.changes.get(&self.segment.chat) else {
            return;
        };
        let mut missing = Vec::new();
        for (&seq, change) in changes.range(replay.from + 1..=position) {
            let came = replay
                .delivered
                .get(&change.message)
                .is_some_and(|&last| last >= seq);
            let row = self.history.row(self.segment.chat, change.message);
            let moved = row.is_some_and(|row| row.seq > position);
            if !came && (complete || !moved) {
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
