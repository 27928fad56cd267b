//! The report of a run.

mod text;

use crate::{
    acts::Request,
    directory::Counts,
    journal::Journal,
    nemesis::Faults,
    options::Options,
    record::{Event, FrameKind, Kind, Op, Outcome, Segment},
    violation::{Violation, ViolationKind},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The maximum number of violations described in full.
const SHOWN: usize = 20;

/// The figures and violations of a run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub store: String,
    pub nodes: u32,
    pub seed: u64,
    pub seconds: u64,
    pub operations: usize,
    pub sends: usize,
    pub edits: usize,
    pub deletes: usize,
    pub acked: usize,
    pub refused: usize,
    /// The number of refusals by error code; `cut` counts frames that were cut in the middle.
    pub refused_by_code: BTreeMap<String, usize>,
    pub in_doubt: usize,
    /// Acks of a repeated send.
    pub duplicates: usize,
    pub stored_messages: usize,
    pub sockets: u32,
    pub connects: usize,
    pub resumes: usize,
    /// Connects of sockets of the original API.
    pub original_connects: usize,
    pub truncated: usize,
    pub live_frames: usize,
    pub replayed_frames: usize,
    /// The number of times that an open socket missed changes and got them by a replay.
    pub catch_ups: usize,
    /// Frames about memberships and about chats.
    pub member_frames: usize,
    pub chat_frames: usize,
    /// Acknowledged changes of memberships and of chats that clients asked for, joins by connecting aside.
    pub acts: usize,
    /// The operations of the admins.
    pub directory: Counts,
    pub faults: Faults,
    /// The number of seqs that only an operation in doubt can explain.
    pub unexplained_seqs: usize,
    pub violations: usize,
    pub violations_by_kind: BTreeMap<ViolationKind, usize>,
    pub first_violations: Vec<String>,
}

impl Report {
    pub fn new(options: &Options, seed: u64) -> Self {
        Self {
            store: format!("{:?}", options.store).to_lowercase(),
            nodes: options.nodes,
            seed,
            seconds: options.seconds,
            ..Self::default()
        }
    }

    /// Adds the operations and frames of a client in an era.
    pub fn count(&mut self, journal: &Journal) {
        self.sockets += journal.sockets;
        for op in &journal.ops[journal.past..] {
            self.count_operation(op);
        }
        let acts = journal.acts.iter().filter(|act| act.is_acked());
        self.acts += acts
            .filter(|act| !matches!(act.request, Request::Join(_)))
            .count();
        for segment in &journal.segments {
            self.count_segment(segment);
        }
    }

    fn count_operation(&mut self, op: &Op) {
        self.operations += 1;
        match op.kind {
            Kind::Send => self.sends += 1,
            Kind::Edit(_) => self.edits += 1,
            Kind::Delete(_) => self.deletes += 1,
        }
        match op.outcome() {
            Outcome::Acked => self.acked += 1,
            Outcome::InDoubt => self.in_doubt += 1,
            Outcome::Refused => {
                self.refused += 1;
                let code = op.refused.clone().unwrap_or_default();
                *self.refused_by_code.entry(code).or_default() += 1;
            }
        }
        self.duplicates += op.acks.iter().filter(|ack| ack.duplicate).count();
    }

    fn count_segment(&mut self, segment: &Segment) {
        self.connects += 1;
        self.resumes += usize::from(segment.since.is_some());
        self.original_connects += usize::from(segment.original);
        let mut live = false;
        for event in &segment.events {
            if let Event::Frame(frame) = event {
                self.member_frames += usize::from(frame.kind == FrameKind::Member);
                self.chat_frames += usize::from(frame.kind == FrameKind::Chat);
            }
            match event {
                Event::Frame(frame) if frame.replay => {
                    self.replayed_frames += 1;
                    self.catch_ups += usize::from(std::mem::take(&mut live));
                }
                Event::Frame(_) => {
                    self.live_frames += 1;
                    live = true;
                }
                Event::Connected { truncated, .. } => {
                    self.truncated += usize::from(*truncated);
                    live = true;
                }
                Event::Heartbeat(_) | Event::Entered(_) => {}
            }
        }
    }

    pub fn add_violations(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            self.violations += 1;
            let of_kind = self.violations_by_kind.entry(violation.kind).or_default();
            *of_kind += 1;
            // Shows some violations of each kind instead of 20 of one kind.
            if *of_kind <= SHOWN / 4 && self.first_violations.len() < SHOWN {
                let text = format!("{}: {}", violation.kind, violation.text);
                self.first_violations.push(text);
            }
        }
    }

    /// The reason that the run proves nothing. `None` if it proves something.
    pub fn inconclusive(&self, options: &Options) -> Option<&'static str> {
        match self {
            _ if self.acked == 0 => Some("no operation was acknowledged"),
            _ if self.resumes == 0 || self.live_frames == 0 => Some("no client saw a change"),
            _ if self.member_frames == 0 => Some("no client saw a change of a membership"),
            _ if self.directory.acked == 0 && options.admins > 0 => {
                Some("no operation of an admin was acknowledged")
            }
            _ if self.faults.total() == 0 && !options.calm => Some("nothing was broken"),
            _ => None,
        }
    }
}
