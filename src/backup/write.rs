//! Writes an archive from a snapshot of the database, for the command `export`.

use super::{ArchiveError, FirstLine, LastLine, VERSION};
use crate::repository::{Counts, Snapshot};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// A writer of JSON lines that also hashes them.
struct Lines<W> {
    out: W,
    /// The buffer of the current line, reused for each line.
    line: Vec<u8>,
    /// The SHA-256 of all bytes that were written.
    digest: Sha256,
}

/// Writes all rows of a snapshot, page by page, and returns the number of rows.
///
/// `progress` receives the number of rows of each page. Writing blocks the thread, so only a process
/// without other work may call this function.
///
/// # Errors
/// `Database` or `File` if the database or the file fails. `Refused` if not every row was read.
pub async fn write(
    mut snapshot: Snapshot,
    out: impl Write,
    progress: impl Fn(u64),
) -> Result<Counts, ArchiveError> {
    let expected = snapshot.counts().await?;
    let mut lines = Lines {
        out,
        line: Vec::new(),
        digest: Sha256::new(),
    };
    lines.write(&FirstLine { version: VERSION })?;
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
        let why = format!("the database has {expected}, but returned {counts}");
        return Err(ArchiveError::Refused(why));
    }
    let end = LastLine {
        counts,
        last_ids: snapshot.last_ids().await?,
        sha256: hex::encode(lines.digest.clone().finalize()),
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
