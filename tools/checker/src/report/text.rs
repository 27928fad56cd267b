//! The report as text, one subject a line.

use super::Report;
use crate::{directory::Counts, nemesis::Faults};
use std::fmt::{Display, Formatter, Result};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { faults, .. } = self;
        writeln!(
            f,
            "{} for {} s, {} of this server, --seed {}",
            self.store, self.seconds, self.nodes, self.seed
        )?;
        self.write_operations(f)?;
        writeln!(
            f,
            "acts         {} changes of memberships and chats acked",
            self.acts
        )?;
        writeln!(f, "admins       {}", self.directory)?;
        writeln!(
            f,
            "connections  {} sockets, {} connects, {} of them resumes, {} of the original API, {} too far \
             behind to replay",
            self.sockets, self.connects, self.resumes, self.original_connects, self.truncated
        )?;
        writeln!(
            f,
            "frames       {} live, {} replayed, {} of memberships, {} of chats; {} slow sockets caught up",
            self.live_frames,
            self.replayed_frames,
            self.member_frames,
            self.chat_frames,
            self.catch_ups
        )?;
        write_faults(f, faults)?;
        if self.nodes > 1 {
            write_link_faults(f, faults)?;
        }
        self.write_violations(f)
    }
}

impl Report {
    fn write_operations(&self, f: &mut Formatter<'_>) -> Result {
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
        )
    }

    fn write_violations(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "violations   {}", self.violations)?;
        for (kind, count) in &self.violations_by_kind {
            write!(f, ", {kind}: {count}")?;
        }
        writeln!(f)?;
        for text in &self.first_violations {
            writeln!(f, "  - {text}")?;
        }
        Ok(())
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            sign_ups,
            users_changed,
            users_deleted,
            chats_made,
            chats_renamed,
            chats_deleted,
            members_set,
            members_removed,
            reads,
            acked,
            refused,
            in_doubt,
        } = self;
        write!(
            f,
            "{sign_ups} sign-ups, {users_changed} users renamed, {users_deleted} deleted; \
             {chats_made} chats made, {chats_renamed} renamed, {chats_deleted} deleted; members set \
             {members_set} times, removed {members_removed}; {reads} reads: {acked} acked, {refused} \
             refused, {in_doubt} in doubt"
        )
    }
}

fn write_faults(f: &mut Formatter<'_>, faults: &Faults) -> Result {
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
    )
}

fn write_link_faults(f: &mut Formatter<'_>, faults: &Faults) -> Result {
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
    )
}
