//! What is measured. Each function here is one turn of one scenario, on a server and a database of
//! its own.

mod latency;
mod logins;
mod memory;
mod nodes;
mod rest;
mod throughput;

pub use latency::{modest, rooms, stalled};
pub use logins::logins;
pub use memory::{idle, joins};
pub use nodes::{bystander, hop, nodes};
pub use rest::rest;
pub use throughput::{durable, fanout};

use super::{
    crowd::{Crowd, Outcome, Pace, Plan},
    database::{Database, Store},
    process::Process,
    report::Figure,
};
use std::time::Duration;

/// What a turn gives: figures, or what was wrong.
pub type Turn = Result<Vec<Figure>, String>;

/// Bytes of a MiB.
const MIB: f64 = 1024.0 * 1024.0;

/// A server of this project on a new database.
struct Stand {
    database: Database,
    server: Process,
}

impl Stand {
    /// Starts it, with so many chats of so many members each.
    async fn new(store: Store, chats: usize, members: usize) -> Result<Self, String> {
        let database = Database::new(store).await?;
        let server = Process::server(&database).await?;
        let filled = database.fill(chats, members).await;
        filled.map_err(|e| format!("the database cannot be filled: {e}"))?;
        Ok(Self { database, server })
    }

    /// Connects everyone to the server; says so where the server itself did not live through it.
    async fn gather(&mut self, plan: Plan, pace: Pace) -> Result<Crowd, String> {
        let crowd = Crowd::gather(&[self.server.port], plan, pace, true).await;
        if crowd.is_err() {
            self.server.must_run()?;
        }
        crowd
    }

    /// Checks that the server is well and that the database has so many messages; ends both.
    async fn take_down(mut self, messages: u64) -> Result<(), String> {
        self.server.must_answer().await?;
        let unreadable = |e: sqlx::Error| format!("the database cannot be read: {e}");
        let stored = self.database.messages().await.map_err(unreadable)?;
        drop(self.server);
        self.database.remove().await.map_err(unreadable)?;
        match stored == messages {
            true => Ok(()),
            false => Err(format!(
                "{messages} messages were sent, {stored} are stored"
            )),
        }
    }
}

/// One load on a server of this project; also gives its resident memory at the end, in bytes.
async fn load(
    store: Store,
    plan: Plan,
    pace: Pace,
    lasts: Duration,
) -> Result<(Outcome, f64), String> {
    let mut stand = Stand::new(store, plan.chats, plan.clients).await?;
    let crowd = stand.gather(plan, pace).await?;
    let outcome = crowd.drive(pace, lasts, &[&stand.server]).await?;
    let resident = stand.server.resident();
    drop(crowd);
    stand.take_down(outcome.sent).await?;
    Ok((outcome, resident))
}

/// The same load on the reference.
async fn reference(plan: Plan, pace: Pace, lasts: Duration) -> Result<Outcome, String> {
    let process = Process::reference().await?;
    let crowd = Crowd::gather(&[process.port], plan, pace, false).await?;
    crowd.drive(pace, lasts, &[&process]).await
}
