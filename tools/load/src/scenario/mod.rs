//! The scenarios. Each public function is one turn of one scenario, on a new server and a new database.

mod attacks;
mod latency;
mod logins;
mod memory;
mod neighbour;
mod nodes;
mod reads;
mod rest;
mod throughput;

pub use attacks::attacks;
pub use latency::{modest, rooms, stalled};
pub use logins::logins;
pub use memory::{idle, joins};
pub use neighbour::neighbour;
pub use nodes::{bystander, hop, nodes};
pub use reads::reads;
pub use rest::rest;
pub use throughput::{durable, fanout};

use super::{
    clients::{Clients, Outcome, Pace, Plan},
    database::{Database, Store},
    process::Process,
    report::Figure,
};
use std::time::Duration;

/// The result of a turn: its figures, or an error.
pub type Turn = Result<Vec<Figure>, String>;

/// Bytes of a MiB.
const MIB: f64 = 1024.0 * 1024.0;

/// A server of this project on a new database.
struct TestBed {
    database: Database,
    server: Process,
}

impl TestBed {
    /// Starts the server, with `chats` chats of `members` members each.
    async fn new(store: Store, chats: usize, members: usize) -> Result<Self, String> {
        let database = Database::new(store).await?;
        let server = Process::server(&database).await?;
        let filled = database.fill(chats, members).await;
        filled.map_err(|e| format!("the database cannot be filled: {e}"))?;
        Ok(Self { database, server })
    }

    /// Connects all clients to the server. If the server ended meanwhile, the error says so.
    async fn connect(&mut self, plan: Plan, pace: Pace) -> Result<Clients, String> {
        let clients = Clients::connect(&[self.server.port], plan, pace, true).await;
        if clients.is_err() {
            self.server.must_run()?;
        }
        clients
    }

    /// Checks that the server answers and that the database has `messages` messages, then removes both.
    async fn tear_down(mut self, messages: u64) -> Result<(), String> {
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

/// Runs one load on this project's server. Also returns its resident memory at the end, in bytes.
async fn load(
    store: Store,
    plan: Plan,
    pace: Pace,
    lasts: Duration,
) -> Result<(Outcome, f64), String> {
    let mut bed = TestBed::new(store, plan.chats, plan.clients).await?;
    let clients = bed.connect(plan, pace).await?;
    let outcome = clients.run(pace, lasts, &[&bed.server]).await?;
    let resident = bed.server.resident();
    drop(clients);
    bed.tear_down(outcome.sent).await?;
    Ok((outcome, resident))
}

/// Runs a load on the reference server.
async fn reference(plan: Plan, pace: Pace, lasts: Duration) -> Result<Outcome, String> {
    let process = Process::reference().await?;
    let clients = Clients::connect(&[process.port], plan, pace, false).await?;
    clients.run(pace, lasts, &[&process]).await
}
