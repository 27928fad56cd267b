//! The original's API, as its clients know it: each frame and each route, on the real binary in an
//! empty folder.

mod frames;
mod routes;

use tempfile::TempDir;
use testkit::Process;

/// The binary in a folder of its own, with nothing set.
async fn start() -> (Process, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Process::start(folder.path(), &[]).await, folder)
}
