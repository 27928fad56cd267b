//! Imports an archive into an empty database, for the command `import`.

use super::{ArchiveError, END, FirstLine, LastLine, VERSION};
use crate::{
    database::Database,
    repository::{Counts, Kind, LastIds, Record, Restore},
};
use sha2::{Digest, Sha256};
use std::io::{BufRead, Read};

/// The number of rows per INSERT statement.
const BATCH: usize = 500;
/// The maximum length of a line in bytes (8 MiB), including its newline. A message of 1 MiB fits even if
/// JSON escapes each of its bytes with six bytes.
const LINE_BYTES: u64 = 8 << 20;
/// The maximum length of the first line in bytes. A file that is no archive may have no newline at all.
const HEAD_BYTES: u64 = 1024;

/// An archive that is being read.
struct Reader<R> {
    input: R,
    line: Vec<u8>,
    /// The number of the current line, from 1.
    number: u64,
    /// The SHA-256 of all bytes that were read.
    digest: Sha256,
    /// The kind and the key of the previous row. `None` before the first row.
    previous: Option<(Kind, (i64, i64))>,
}

/// Imports a whole archive into an empty database and returns the number of rows.
///
/// The import is one transaction: after any failure the database is still empty, and the import can be
/// repeated. `progress` receives the length of each line in bytes. Reading blocks the thread, so only a
/// process without other work may call this function.
///
/// # Errors
/// `Refused` if the database is not empty, or if the archive is truncated, damaged or no archive.
/// `Database` or `File` if the database or the file fails.
pub async fn read(
    database: &Database,
    input: impl BufRead,
    progress: impl Fn(u64),
) -> Result<Counts, ArchiveError> {
    let mut reader = Reader::begin(input)?;
    let restore = Restore::begin(database).await?;
    let mut restore = restore.ok_or_else(|| {
        refused("the database already holds users or chats; an import needs an empty database")
    })?;
    let mut batch: Vec<Record> = Vec::with_capacity(BATCH);
    let (mut counts, mut last) = (Counts::default(), LastIds::default());
    let end = loop {
        // The last line holds the SHA-256 of the bytes before it, so the digest excludes the next line.
        let before = reader.digest.clone();
        let text = reader.next()?;
        progress(text.len() as u64);
        if text.starts_with(END) {
            let end: LastLine = serde_json::from_str(text).map_err(|e| reader.broken(&e))?;
            break verified(end, counts, hex::encode(before.finalize()))?;
        }
        let record: Record = serde_json::from_str(text).map_err(|e| reader.broken(&e))?;
        let kind = record.kind();
        reader.check_order(&record)?;
        counts.add(kind);
        last.note(&record);
        if batch.len() == BATCH || batch.first().is_some_and(|first| first.kind() != kind) {
            store_batch(&mut restore, &mut batch, reader.number - 1).await?;
        }
        batch.push(record);
    };
    store_batch(&mut restore, &mut batch, reader.number - 1).await?;
    reader.expect_end()?;
    let stored = restore.counts().await?;
    if stored != counts {
        let why = format!("the archive has {counts}, but the database stored {stored}");
        return Err(ArchiveError::Refused(why));
    }
    let last = last.or_later(end.last_ids);
    let mut flaws = restore.flaws().await?;
    if !last.leave_others() {
        flaws.push(
            "a last id leaves no room for further ids: it must be from 0 to 2^53 - 2".to_owned(),
        );
    }
    if !flaws.is_empty() {
        return Err(ArchiveError::Refused(flaws.join("; ")));
    }
    restore.commit(last).await?;
    Ok(counts)
}

async fn store_batch(
    restore: &mut Restore,
    batch: &mut Vec<Record>,
    last_line: u64,
) -> Result<(), ArchiveError> {
    let stored = restore.add(batch).await.map_err(ArchiveError::Database);
    stored.map_err(|e| {
        let first_line = last_line + 1 - batch.len() as u64;
        ArchiveError::Refused(format!(
            "the database refuses lines {first_line} to {last_line}: {e}"
        ))
    })?;
    batch.clear();
    Ok(())
}

/// Checks the last line against the counts and the SHA-256 of the lines before it.
fn verified(end: LastLine, counts: Counts, sha256: String) -> Result<LastLine, ArchiveError> {
    if end.counts != counts {
        let why = format!(
            "lines are missing or repeated: the archive has {counts}, but its last line says {}",
            end.counts
        );
        return Err(ArchiveError::Refused(why));
    }
    if end.sha256 != sha256 {
        return Err(refused(
            "the archive was changed after the export: its SHA-256 differs from the SHA-256 in its \
             last line",
        ));
    }
    Ok(end)
}

fn refused(why: &str) -> ArchiveError {
    ArchiveError::Refused(why.to_owned())
}

impl<R: BufRead> Reader<R> {
    /// Reads and checks the first line.
    fn begin(input: R) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            input,
            line: Vec::new(),
            number: 1,
            digest: Sha256::new(),
            previous: None,
        };
        let mut start = reader.input.by_ref().take(HEAD_BYTES);
        start.read_until(b'\n', &mut reader.line)?;
        reader.digest.update(&reader.line);
        let head: FirstLine = serde_json::from_slice(&reader.line)
            .map_err(|_| refused("it is not an archive that messaging-api export wrote"))?;
        match head.version {
            1..=VERSION => Ok(reader),
            version => Err(ArchiveError::Refused(format!(
                "the archive has version {version}; this program reads versions 1 to {VERSION}"
            ))),
        }
    }

    /// Reads the next line. A missing or incomplete line is an error.
    fn next(&mut self) -> Result<&str, ArchiveError> {
        self.line.clear();
        let mut input = self.input.by_ref().take(LINE_BYTES);
        input.read_until(b'\n', &mut self.line)?;
        self.number += 1;
        if self.line.len() as u64 == LINE_BYTES && self.line.last() != Some(&b'\n') {
            return Err(ArchiveError::Refused(format!(
                "line {} is longer than 8 MiB",
                self.number
            )));
        }
        if self.line.last() != Some(&b'\n') {
            return Err(refused(
                "the archive is cut off: its last line, which holds the counts, is missing",
            ));
        }
        self.digest.update(&self.line);
        std::str::from_utf8(&self.line)
            .map_err(|_| ArchiveError::Refused(format!("line {} is not UTF-8", self.number)))
    }

    /// Checks that the rows are in the order of an export, and that a message replies to an earlier one.
    fn check_order(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let position = Some((record.kind(), record.key()));
        let wrong = match record {
            _ if position <= self.previous => "the row is not in the order of kinds and ids",
            Record::Message(row) if row.reply_to.is_some_and(|id| id.0 >= row.message_id.0) => {
                "the message replies to itself or to a later message"
            }
            _ => {
                self.previous = position;
                return Ok(());
            }
        };
        Err(ArchiveError::Refused(format!(
            "line {}: {wrong}",
            self.number
        )))
    }

    /// Checks that the file ends after the last line.
    fn expect_end(&mut self) -> Result<(), ArchiveError> {
        match self.input.fill_buf()?.is_empty() {
            true => Ok(()),
            false => Err(refused("the archive has data after its last line")),
        }
    }

    fn broken(&self, error: &serde_json::Error) -> ArchiveError {
        ArchiveError::Refused(format!("line {} is broken: {error}", self.number))
    }
}
