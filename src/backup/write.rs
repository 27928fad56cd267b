//! Writing an archive.

use super::{End, Failure, Head, VERSION, hex};
use crate::repository::{Counts, Snapshot};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Lines on their way out, and what was written so far.
struct Lines<W> {
    out: W,
    line: Vec<u8>,
    digest: Sha256,
}

/// Writes everything that a snapshot shows, a page at a time; `progress` hears how many rows a page
/// had. Blocks while it writes: for a process that does nothing else.
///
/// # Errors
/// The store's or the file's, or that not every row was read.
pub async fn write(
    mut snapshot: Snapshot,
    out: impl Write,
    progress: impl Fn(u64),
) -> Result<Counts, Failure> {
    let expected = snapshot.counts().await?;
    let mut lines = Lines {
        out,
        line: Vec::new(),
        digest: Sha256::new(),
    };
    lines.write(&Head { version: VERSION })?;
    let mut counts = Counts::default();
    loop {
        let page = snapshot.next().await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            lines.write(record)?;
            counts.add(record.kind());
        }
        progress(page.len() as u64);
    }
    if counts != expected {
        let why = format!("the store has {expected}, and showed {counts}");
        return Err(Failure::Refused(why));
    }
    let end = End {
        counts,
        last_ids: snapshot.last_ids().await?,
        sha256: hex(lines.digest.clone()),
    };
    lines.write(&end)?;
    lines.out.flush()?;
    Ok(counts)
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.digest.update(&self.line);
        self.out.write_all(&self.line)
    }
}
