//! Scenarios with several servers on one Postgres, linked by NATS: the cost and the latency of the
//! link.

use super::{
    super::{
        clients::{Clients, Outcome, Pace, Plan},
        database::{Database, Store},
        process::Process,
        report::figure,
    },
    Turn,
};
use crate::client::{Client, ClientSettings};
use crate::counters::Counters;
use std::{rc::Rc, time::Duration};

/// Ten chats of thirty, two senders in each.
const PLAN: Plan = Plan {
    chats: 10,
    clients: 30,
    senders: 2,
    stalled: false,
    at_once: 100,
};
/// One chat of ten with one sender, to measure the latency between two servers.
const SMALL: Plan = Plan {
    chats: 1,
    clients: 10,
    senders: 1,
    stalled: false,
    at_once: 10,
};
const LASTS: Duration = Duration::from_secs(4);
/// A rate in messages per second that every layout sustains, so that CPU usage is comparable.
const STEADY: Pace = Pace::Rate(400);
const SLOW: Pace = Pace::Rate(100);
/// Time limit for the servers to be linked.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// Servers on one database.
struct Cluster {
    database: Database,
    servers: Vec<Process>,
    /// Held so that NATS runs as long as the servers.
    _nats: Option<Process>,
}

impl Cluster {
    /// Starts `count` servers, with `chats` chats of the size in `PLAN`.
    async fn new(count: usize, linked: bool, chats: usize) -> Result<Self, String> {
        let database = Database::new(Store::Postgres).await?;
        let nats = match linked {
            true => Some(Process::nats().await?),
            false => None,
        };
        let url = nats
            .as_ref()
            .map(|n| format!("nats://127.0.0.1:{}", n.port));
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Process::linked(&database, url.as_deref()).await?);
        }
        let filled = database.fill(chats, PLAN.clients).await;
        filled.map_err(|e| format!("the database cannot be filled: {e}"))?;
        for server in &servers {
            server.until_linked(linked, LINK_LIMIT).await?;
        }
        let _nats = nats;
        Ok(Self {
            database,
            servers,
            _nats,
        })
    }

    /// Runs a load. Its clients connect to the servers with the indexes in `spread`, by their position
    /// in their chat.
    async fn load(&self, plan: Plan, pace: Pace, spread: &[usize]) -> Result<Outcome, String> {
        let ports: Vec<u16> = spread.iter().map(|n| self.servers[*n].port).collect();
        let clients = Clients::connect(&ports, plan, pace, true).await?;
        let servers: Vec<&Process> = self.servers.iter().collect();
        clients.run(pace, LASTS, &servers).await
    }

    async fn tear_down(self, messages: u64) -> Result<(), String> {
        let stored = self.database.messages().await.map_err(|e| e.to_string())?;
        drop(self.servers);
        self.database.remove().await.map_err(|e| e.to_string())?;
        match stored == messages {
            true => Ok(()),
            false => Err(format!(
                "{messages} messages were sent, {stored} are stored"
            )),
        }
    }
}

/// A layout: the number of servers, whether they are linked, and the names of its figures.
type Layout = (usize, bool, [&'static str; 3]);

const LAYOUTS: [Layout; 4] = [
    (
        1,
        false,
        [
            "1 alone: messages/s",
            "1 alone: deliveries/s",
            "1 alone: CPU us per delivery at 400/s",
        ],
    ),
    (
        1,
        true,
        [
            "1 linked: messages/s",
            "1 linked: deliveries/s",
            "1 linked: CPU us per delivery at 400/s",
        ],
    ),
    (
        2,
        true,
        [
            "2 linked: messages/s",
            "2 linked: deliveries/s",
            "2 linked: CPU us per delivery at 400/s",
        ],
    ),
    (
        3,
        true,
        [
            "3 linked: messages/s",
            "3 linked: deliveries/s",
            "3 linked: CPU us per delivery at 400/s",
        ],
    ),
];

/// Compares one load on one server and on several servers that share the machine.
pub async fn nodes() -> Turn {
    let mut figures = Vec::new();
    for (count, linked, names) in LAYOUTS {
        let cluster = Cluster::new(count, linked, PLAN.chats).await?;
        let spread: Vec<usize> = (0..count).collect();
        let most = cluster.load(PLAN, Pace::Window(16), &spread).await?;
        let steady = cluster.load(PLAN, STEADY, &spread).await?;
        cluster.tear_down(most.sent + steady.sent).await?;
        figures.push(figure(names[0], most.sent as f64 / most.seconds));
        figures.push(figure(names[1], most.delivered as f64 / most.seconds));
        figures.push(figure(names[2], steady.cpu * 1e6 / steady.delivered as f64));
    }
    Ok(figures)
}

/// Measures the latency from a sender to receivers on its own server and on another server.
pub async fn hop() -> Turn {
    let cluster = Cluster::new(2, true, SMALL.chats).await?;
    let near = cluster.load(SMALL, SLOW, &[0]).await?;
    // The sender is the first client of its chat.
    let mut spread = [1; SMALL.clients];
    spread[0] = 0;
    let far = cluster.load(SMALL, SLOW, &spread).await?;
    cluster.tear_down(near.sent + far.sent).await?;
    Ok(vec![
        figure("same server: p50 ms", near.latency(500)),
        figure("same server: p99 ms", near.latency(990)),
        figure("another server: p50 ms", far.latency(500)),
        figure("another server: p99 ms", far.latency(990)),
    ])
}

/// Measures the CPU time of a server per message in chats without a client on it: first without a
/// subscription to the shards of these chats, then with all of them.
pub async fn bystander() -> Turn {
    let partners: Vec<u16> = (1..=PLAN.chats as u16).map(partner).collect();
    let chats = partners.iter().max().copied().unwrap_or_default();
    let cluster = Cluster::new(2, true, chats.into()).await?;
    let idle = cluster.servers[1].cpu();
    tokio::time::sleep(LASTS).await;
    let idle = cluster.servers[1].cpu() - idle;
    let (deaf, first) = watch(&cluster).await?;
    let counters = Rc::new(Counters::new());
    let mut connected = Vec::new();
    for chat in partners {
        let settings = ClientSettings {
            chat,
            user: usize::from(chat - 1) * PLAN.clients + 1,
            position: 0,
            senders: 1,
            echo: false,
            stalls: false,
        };
        let client = Client::connect(
            cluster.servers[1].port,
            settings,
            true,
            Rc::clone(&counters),
        );
        connected.push(client.await.map_err(|e| e.to_string())?);
    }
    let (hears, second) = watch(&cluster).await?;
    drop(connected);
    cluster.tear_down(first + second).await?;
    let per_message = |cpu: f64, messages: u64| (cpu - idle).max(0.0) * 1e6 / messages as f64;
    Ok(vec![
        figure("messages", second as f64),
        figure("other shards: CPU us per message", per_message(deaf, first)),
        figure(
            "same shards: CPU us per message",
            per_message(hears, second),
        ),
    ])
}

/// Runs a load on the first server. Returns the CPU seconds of the second server and the number of
/// messages.
async fn watch(cluster: &Cluster) -> Result<(f64, u64), String> {
    let before = cluster.servers[1].cpu();
    let outcome = cluster.load(PLAN, Pace::Window(4), &[0]).await?;
    Ok((cluster.servers[1].cpu() - before, outcome.sent))
}

/// The first chat outside the load that is in the shard of `chat`.
fn partner(chat: u16) -> u16 {
    let after = PLAN.chats as u16 + 1..u16::MAX;
    let mut same = after.filter(|other| shard(*other) == shard(chat));
    same.next().unwrap_or(chat)
}

/// The shard of a chat, computed as in the server.
fn shard(chat: u16) -> u64 {
    let n = u64::from(chat).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (n ^ (n >> 31)) % 1024
}
