//! The report of a run.

use crate::{
    directory::Counts,
    journal::Journal,
    nemesis::Faults,
    options::Options,
    record::{Event, Kind, Outcome, Violation},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

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
    /// The number of refusals by error code; `torn` counts frames that were cut in the middle.
    pub refused_by_code: BTreeMap<String, usize>,
    pub in_doubt: usize,
    /// Acks of a repeated send.
    pub duplicates: usize,
    pub stored_messages: usize,
    pub sockets: u32,
    pub connects: usize,
    pub resumes: usize,
    pub truncated: usize,
    pub live_frames: usize,
    pub replayed_frames: usize,
    /// The number of times that an open socket missed changes and got them by a replay.
    pub healings: usize,
    /// The operations of the admins.
    pub directory: Counts,
    pub faults: Faults,
    /// The number of seqs that only an operation in doubt can explain.
    pub unexplained_seqs: usize,
    pub violations: usize,
    pub violations_by_kind: BTreeMap<&'static str, usize>,
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

    pub fn count(&mut self, journal: &Journal) {
        self.sockets += journal.sockets;
        for op in &journal.ops[journal.past..] {
            self.operations += 1;
            match op.kind {
                Kind::Send => self.sends += 1,
                Kind::Edit(_) => self.edits += 1,
                Kind::Delete(_) => self.deletes += 1,
            }
            match op.outcome() {
                Outcome::Acked => self.acked += 1,
                Outcome::Doubt => self.in_doubt += 1,
                Outcome::Refused => {
                    self.refused += 1;
                    let code = op.refused.clone().unwrap_or_default();
                    *self.refused_by_code.entry(code).or_default() += 1;
                }
            }
            self.duplicates += op.acks.iter().filter(|ack| ack.duplicate).count();
        }
        for segment in &journal.segments {
            self.connects += 1;
            self.resumes += usize::from(segment.since.is_some());
            let mut live = false;
            for event in &segment.events {
                match event {
                    Event::Frame(frame) if frame.replay => {
                        self.replayed_frames += 1;
                        self.healings += usize::from(std::mem::take(&mut live));
                    }
                    Event::Frame(_) => {
                        self.live_frames += 1;
                        live = true;
                    }
                    Event::Connected { truncated, .. } => {
                        self.truncated += usize::from(*truncated);
                        live = true;
                    }
                    Event::Heartbeat(_) => {}
                }
            }
        }
    }

    pub fn blame(&mut self, violations: Vec<Violation>) {
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
    pub fn too_little(&self, options: &Options) -> Option<&'static str> {
        match self {
            _ if self.acked == 0 => Some("no operation was acknowledged"),
            _ if self.resumes == 0 || self.live_frames == 0 => Some("nobody saw anything"),
            _ if self.directory.acked == 0 && options.admins > 0 => {
                Some("no operation of an admin was acknowledged")
            }
            _ if self.faults.total() == 0 && !options.calm => Some("nothing was broken"),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, .. } = self;
        writeln!(
            f,
            "{} for {} s, {} of this server, --seed {}",
            self.store, self.seconds, self.nodes, self.seed
        )?;
        writeln!(
            f,
            "operations   {} ({} sends, {} edits, {} deletes): {} acked, {} refused {:?}, {} in doubt",
            self.operations,
            self.sends,
            self.edits,
            self.deletes,
            self.acked,
            self.refused,
            self.refused_by_code,
            self.in_doubt
        )?;
        writeln!(
            f,
            "store        {} messages; {} sends repeated and recognised; {} numbers that only an \
             operation in doubt explains",
            self.stored_messages, self.duplicates, self.unexplained_seqs
        )?;
        let Counts {
            sign_ups,
            users_changed,
            users_deleted,
            chats_made,
            chats_renamed,
            chats_deleted,
            members_set,
            members_removed,
            looks,
            acked,
            refused,
            in_doubt,
        } = &self.directory;
        writeln!(
            f,
            "admins       {sign_ups} sign-ups, {users_changed} users renamed, {users_deleted} deleted; \
             {chats_made} chats made, {chats_renamed} renamed, {chats_deleted} deleted; members set \
             {members_set} times, removed {members_removed}; {looks} looks: {acked} acked, {refused} \
             refused, {in_doubt} in doubt"
        )?;
        writeln!(
            f,
            "connections  {} sockets, {} connects, {} of them resumes, {} too far behind to replay",
            self.sockets, self.connects, self.resumes, self.truncated
        )?;
        writeln!(
            f,
            "frames       {} live, {} replayed; {} slow sockets healed",
            self.live_frames, self.replayed_frames, self.healings
        )?;
        writeln!(
            f,
            "faults       server: {} kills, {} stops, {} freezes; database: {} restarts, {} stops, \
             {} freezes, {} times read-only, {} failovers, {} restores",
            faults.kills,
            faults.stops,
            faults.freezes,
            faults.database_restarts,
            faults.database_stops,
            faults.database_freezes,
            faults.read_only,
            faults.failovers,
            faults.restores
        )?;
        writeln!(
            f,
            "             disk: {} times full, {} times failed",
            faults.full_disks, faults.failed_disks
        )?;
        if self.nodes > 1 {
            let link = &faults.link;
            writeln!(
                f,
                "             NATS: {} kills, {} freezes; links: {} one way, {} both ways, {} cut; \
                 {} clock jumps; {} faults in all",
                link.nats_kills,
                link.nats_freezes,
                link.one_way,
                link.both_ways,
                link.cuts,
                faults.clock_jumps,
                faults.total()
            )?;
        }
        writeln!(
            f,
            "violations   {} {:?}",
            self.violations, self.violations_by_kind
        )?;
        for text in &self.first_violations {
            writeln!(f, "  - {text}")?;
        }
        Ok(())
    }
}
