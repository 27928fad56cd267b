//! Scenarios that measure the memory of connections, and its release.

use super::{
    super::{
        clients::{Pace, Plan},
        database::Store,
        process::Process,
        report::figure,
    },
    MIB, TestBed, Turn,
};
use std::time::{Duration, Instant};

/// The pace of a load without messages.
pub const SILENT: Pace = Pace::Window(0);
/// The time for the allocator to return free memory to the system.
const SETTLE: Duration = Duration::from_secs(2);
/// Time limit for the server to notice that all clients have left.
const LEAVE_LIMIT: Duration = Duration::from_secs(30);
/// The number of times that all clients come and go.
const WAVES: usize = 10;

/// Ten thousand connections in a thousand chats.
pub const IDLE: Plan = Plan {
    chats: 1000,
    clients: 10,
    senders: 0,
    stalled: false,
    at_once: 200,
};

/// Measures the memory of 10,000 silent connections.
pub async fn idle(store: Store) -> Turn {
    let plan = IDLE;
    let mut bed = TestBed::new(store, plan.chats, plan.clients).await?;
    let empty = bed.server.resident();
    let clients = bed.connect(plan, SILENT).await?;
    tokio::time::sleep(SETTLE).await;
    let full = bed.server.resident();
    drop(clients);
    bed.tear_down(0).await?;
    let connections = (plan.chats * plan.clients) as f64;
    Ok(vec![
        figure("bytes per connection", (full - empty) / connections),
        figure("resident MiB empty", empty / MIB),
        figure("resident MiB full", full / MIB),
    ])
}

/// A thousand clients join one chat at once and leave at once, ten times.
pub async fn joins(store: Store) -> Turn {
    let plan = Plan {
        chats: 1,
        clients: 1000,
        senders: 0,
        stalled: false,
        at_once: 1000,
    };
    let mut bed = TestBed::new(store, plan.chats, plan.clients).await?;
    let (files, empty) = (bed.server.open_files(), bed.server.resident());
    let mut resident = Vec::with_capacity(WAVES);
    let mut slowest = 0.0_f64;
    for _ in 0..WAVES {
        let clients = bed.connect(plan, SILENT).await?;
        slowest = slowest.max(clients.joining);
        drop(clients);
        emptied(&mut bed.server, files).await?;
        resident.push(bed.server.resident());
    }
    bed.tear_down(0).await?;
    Ok(vec![
        figure("slowest wave s", slowest),
        figure("resident MiB empty", empty / MIB),
        figure("after wave 1", resident[0] / MIB),
        figure("after wave 5", resident[WAVES / 2 - 1] / MIB),
        figure("after wave 10", resident[WAVES - 1] / MIB),
    ])
}

/// Waits until the server has closed all but `files` files and its memory has settled. Up to 32 more
/// files are allowed, for connections that its database pool opened meanwhile.
async fn emptied(server: &mut Process, files: usize) -> Result<(), String> {
    const OF_THE_DATABASE: usize = 32;
    let deadline = Instant::now() + LEAVE_LIMIT;
    while server.open_files() > files + OF_THE_DATABASE {
        if Instant::now() > deadline {
            return Err("the server keeps the sockets of clients that are gone".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(SETTLE).await;
    server.must_answer().await
}
