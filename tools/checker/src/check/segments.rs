//! Checks the frames that each socket got of each chat: in order, without a hole or a duplicate, and of
//! the type that fits a client that knows every change up to its cursor.

use super::{Evidence, Known};
use crate::record::{Event, Frame, FrameKind, MessageId, Segment, Seq, State, Violation};
use std::collections::HashMap;

/// Checks every segment of every socket.
pub fn check(evidence: &Evidence<'_>, known: &Known, violations: &mut Vec<Violation>) {
    for segment in evidence.journals.iter().flat_map(|j| &j.segments) {
        let mut walk = Walk {
            evidence,
            known,
            segment,
            violations,
            position: segment.since,
            live: false,
            run: None,
        };
        for event in &segment.events {
            walk.event(event);
        }
        walk.finish(false);
    }
}

/// A sequence of replayed frames: its cursor, and the last seq of each message.
struct Run {
    from: Seq,
    delivered: HashMap<MessageId, Seq>,
}

/// A walk along one segment.
struct Walk<'a> {
    evidence: &'a Evidence<'a>,
    known: &'a Known,
    segment: &'a Segment,
    violations: &'a mut Vec<Violation>,
    /// The seq up to which the socket was sent changes. Without `since`, `None` until connect-chat is
    /// answered.
    position: Option<Seq>,
    /// True once connect-chat was answered.
    live: bool,
    run: Option<Run>,
}

impl Walk<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Frame(frame) => self.frame(frame),
            Event::Connected { seq, truncated } => self.connected(*seq, *truncated),
            Event::Heartbeat(seq) => {
                if self.position != Some(*seq) {
                    let position = self.position;
                    self.report("order", format!("a heartbeat says {seq} at {position:?}"));
                }
            }
        }
    }

    fn connected(&mut self, seq: Seq, truncated: bool) {
        self.live = true;
        let position = self.position;
        if truncated {
            if position.is_none_or(|since| seq - since <= 1000) || self.run.is_some() {
                self.report("order", format!("truncated to {seq} at {position:?}"));
            }
        } else if position.is_some_and(|position| position != seq) {
            self.report(
                "hole",
                format!("connected at {seq}, was sent up to {position:?}"),
            );
        }
        self.finish(!truncated);
        self.position = Some(seq);
    }

    fn frame(&mut self, frame: &Frame) {
        let Some(position) = self.position else {
            return self.report(
                "order",
                format!("before the answer to connect-chat: {frame:?}"),
            );
        };
        if frame.seq <= position {
            self.report("order", format!("after {position}: {frame:?}"));
        }
        if frame.replay {
            self.replayed(frame, position);
        } else {
            if !self.live {
                self.report(
                    "order",
                    format!("live before connect-chat's answer: {frame:?}"),
                );
            }
            if frame.seq > position + 1 {
                self.report("hole", format!("live after {position}: {frame:?}"));
            }
            self.finish(true);
        }
        self.position = Some(frame.seq);
    }

    fn replayed(&mut self, frame: &Frame, position: Seq) {
        let run = self.run.get_or_insert_with(|| Run {
            from: position,
            delivered: HashMap::new(),
        });
        let again = run.delivered.insert(frame.message, frame.seq).is_some();
        let sent = self.known.sent.get(&(self.segment.chat, frame.message));
        let right = match (frame.state, sent) {
            (State::Deleted, _) => frame.kind == FrameKind::Deleted,
            _ if again => frame.kind == FrameKind::Edited,
            (_, Some(sent)) if *sent > run.from => frame.kind == FrameKind::Sent,
            (_, Some(_)) => frame.kind == FrameKind::Edited,
            (_, None) => true,
        };
        if !right {
            let from = run.from;
            self.report(
                "kind",
                format!("a replay after {from}, message sent {sent:?}: {frame:?}"),
            );
        }
    }

    /// Ends a sequence of replayed frames. A complete sequence must have, for every known change in its
    /// range, that change or a later one of its message. A sequence that was broken off may lack
    /// messages that have changed again since.
    fn finish(&mut self, complete: bool) {
        let (Some(run), Some(position)) = (self.run.take(), self.position) else {
            return;
        };
        let Some(changes) = self.known.changes.get(&self.segment.chat) else {
            return;
        };
        let mut missing = Vec::new();
        for (&seq, change) in changes.range(run.from + 1..=position) {
            let came = run
                .delivered
                .get(&change.message)
                .is_some_and(|&last| last >= seq);
            let row = self.evidence.row(self.segment.chat, change.message);
            let moved = row.is_some_and(|row| row.seq > position);
            if !came && (complete || !moved) {
                missing.push((seq, *change));
            }
        }
        if let Some((seq, change)) = missing.first() {
            let (from, count) = (run.from, missing.len());
            let text = format!(
                "a replay from {from} to {position} left out {count}, the first: {seq} {change}"
            );
            self.report("hole", text);
        }
    }

    fn report(&mut self, kind: &'static str, text: String) {
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
