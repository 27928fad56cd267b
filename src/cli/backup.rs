//! Commands `export` and `import`: they connect `crate::backup` to files, pipes and a progress bar.

use super::{open, output_file::OutputFile, remark, stream::Stream};
use crate::{
    backup::{self, ArchiveError},
    config::{Archive, Config, Export},
    database,
    repository::Snapshot,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, IsTerminal},
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

/// Size of the read and write buffers, in bytes.
pub(super) const BUFFER: usize = 256 * 1024;

/// Exports all data. A file is renamed to its final name after it is complete, so a failed export leaves an
/// older copy unchanged.
pub(super) async fn export(config: &Config, wanted: &Export) -> Result<(), String> {
    config.check()?;
    let mut snapshot = Snapshot::new(database::snapshot(&config.target()?).await?);
    let failed = |e: ArchiveError| format!("cannot export: {e}");
    let plain = snapshot.plain_passwords().await;
    let plain = plain.map_err(|e| failed(e.into()))?;
    if plain > 0 {
        return Err(format!(
            "cannot export: {plain} passwords are not hashed yet; wait until the running server \
             has hashed them, or run messaging-api migrate"
        ));
    }
    let rows = snapshot.counts().await.map_err(|e| failed(e.into()))?.all();
    let bar = bar(
        rows.unsigned_abs(),
        "{bar:40} {pos} of {len} rows, {eta} left",
    );
    let limit = Duration::from_secs(wanted.stall_seconds.into());
    let counts = match named(&wanted.archive) {
        None => {
            let out = io::stdout().as_fd().try_clone_to_owned();
            let out = out.map_err(|e| failed(e.into()))?;
            let out = Stream::new(File::from(out), limit);
            let out = BufWriter::with_capacity(BUFFER, out);
            backup::write(snapshot, out, |n| bar.inc(n))
                .await
                .map_err(failed)?
        }
        Some(path) => {
            let file = OutputFile::open(path, &config.target()?, limit)?;
            file.write(snapshot, &bar).await.map_err(failed)?
        }
    };
    bar.finish_and_clear();
    remark(&format!("Exported {counts}."));
    Ok(())
}

/// Imports all data.
pub(super) async fn import(config: &Config, archive: &Archive) -> Result<(), String> {
    config.check()?;
    let source = named(archive);
    let shown = source.map_or("standard input".into(), Path::to_string_lossy);
    let failed = |e: ArchiveError| format!("nothing was imported from {shown}: {e}");
    let file = source.map(File::open).transpose();
    let file = file.map_err(|e| failed(e.into()))?;
    if file.is_none() && io::stdin().is_terminal() {
        return Err("name the file to import, or pipe it to standard input".to_owned());
    }
    let bytes = file.as_ref().and_then(|file| file.metadata().ok());
    let bytes = bytes.map_or(0, |data| data.len());
    let bar = bar(bytes, "{bar:40} {bytes} of {total_bytes}, {eta} left");
    let database = open(config).await?;
    let counts = match file {
        Some(file) => {
            let input = BufReader::with_capacity(BUFFER, file);
            backup::read(&database, input, |n| bar.inc(n)).await
        }
        None => {
            let input = BufReader::with_capacity(BUFFER, io::stdin().lock());
            backup::read(&database, input, |n| bar.inc(n)).await
        }
    };
    bar.finish_and_clear();
    database.close().await;
    let counts = counts.map_err(failed)?;
    remark(&format!("Imported {counts}."));
    Ok(())
}

/// Returns the file that was named, or `None` for standard input and output.
fn named(archive: &Archive) -> Option<&Path> {
    archive
        .file
        .as_deref()
        .filter(|file| *file != Path::new("-"))
}

/// Returns a progress bar on standard error. It is hidden if standard error is no terminal.
fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
