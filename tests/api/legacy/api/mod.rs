//! The original's document, as a client of the original knows it: each of its frames and each of
//! its routes, on the real binary as it starts in an empty folder.

mod frames;
mod routes;

use tempfile::TempDir;
use testkit::Process;

/// The binary in a folder of its own, with nothing set.
async fn start() -> (Process, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Process::start(folder.path(), &[]).await, folder)
}
