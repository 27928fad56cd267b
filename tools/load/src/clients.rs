//! The clients of a load, and the load that they make.

use super::{
    client::{Client, ClientSettings, Connected},
    counters::Counters,
    latencies::Latencies,
    process::Process,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// Joining is over if nothing has arrived for this long.
const QUIET: Duration = Duration::from_millis(300);
/// The maximum wait for missing messages, after the last one that arrived.
pub const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);
/// The interval at which a load at a fixed rate sends its due messages.
const STEP: Duration = Duration::from_millis(1);
/// The latency of a message that goes out later than this counts from the time it was due, so that a
/// server cannot hide delays by holding up its senders.
const LATE: Duration = Duration::from_millis(4);

/// The time from which a message or a request counts that goes out now and was due at `due`.
pub fn counts_from(due: Instant) -> Instant {
    let now = Instant::now();
    match now.saturating_duration_since(due) > LATE {
        true => due,
        false => now,
    }
}

/// The clients of a load.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The number of chats. Their ids begin at 1.
    pub chats: usize,
    /// The number of clients in each chat.
    pub clients: usize,
    /// The number of senders in each chat.
    pub senders: usize,
    /// True if the last client of each chat stops reading.
    pub stalled: bool,
    /// The maximum number of connections that are opened at once.
    pub at_once: usize,
}

/// The pace of the senders.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Each sender has this many messages in flight.
    Window(u32),
    /// All senders send this many messages per second in total.
    Rate(u32),
}

/// All connected clients of a load.
pub struct Clients {
    /// Seconds from the first connection to the last frame that joining caused.
    pub joining: f64,
    clients: Vec<Connected>,
    plan: Plan,
    counters: Rc<Counters>,
}

/// The results of a load.
pub struct Outcome {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages received, counted once per receiver.
    pub delivered: u64,
    /// Seconds from the first send to the last receipt.
    pub seconds: f64,
    /// CPU seconds that the servers' processes used during the load.
    pub cpu: f64,
    /// From send to receipt, of all deliveries.
    latencies: Latencies,
}

impl Outcome {
    /// The latency in milliseconds that `per_mille` of 1,000 deliveries do not exceed.
    pub fn latency(&self, per_mille: usize) -> f64 {
        self.latencies.ms(per_mille)
    }
}

impl Clients {
    /// Connects all clients to the ports by their position in their chat, and to their chats if
    /// `joins`. Waits until joining is over.
    pub async fn connect(
        ports: &[u16],
        plan: Plan,
        pace: Pace,
        joins: bool,
    ) -> Result<Self, String> {
        let begin = Instant::now();
        let counters = Rc::new(Counters::new());
        let settings = (0..plan.chats * plan.clients).map(|n| {
            let position = n % plan.clients;
            ClientSettings {
                chat: (n / plan.clients + 1) as u16,
                user: n + 1,
                position: position as u16,
                senders: plan.senders as u16,
                echo: matches!(pace, Pace::Window(_)),
                stalls: plan.stalled && position + 1 == plan.clients,
            }
        });
        let clients = stream::iter(settings)
            .map(|settings| {
                let port = ports[usize::from(settings.position) % ports.len()];
                Client::connect(port, settings, joins, Rc::clone(&counters))
            })
            .buffered(plan.at_once)
            .try_collect()
            .await
            .map_err(|e| format!("not all clients could connect: {e}"))?;
        counters.quiet(QUIET).await;
        counters.check_connections()?;
        Ok(Self {
            joining: (counters.last.get() - begin).as_secs_f64(),
            clients,
            plan,
            counters,
        })
    }

    /// Sends for `lasts`, waits for the messages in flight, and checks them.
    pub async fn run(
        &self,
        pace: Pace,
        lasts: Duration,
        servers: &[&Process],
    ) -> Result<Outcome, String> {
        let used = || servers.iter().map(|server| server.cpu()).sum::<f64>();
        let cpu = used();
        let begin = Instant::now();
        self.counters.going.set(true);
        match pace {
            Pace::Window(window) => {
                for sender in self.senders() {
                    sender.send(window, Instant::now());
                }
                tokio::time::sleep(lasts).await;
            }
            Pace::Rate(rate) => self.send_at_rate(rate, begin, lasts).await,
        }
        self.counters.going.set(false);
        self.settle().await;
        let cpu = used() - cpu;
        self.check()?;
        let latencies = Latencies::of_micros(self.counters.latencies.take());
        Ok(Outcome {
            sent: self.counters.sent.get(),
            delivered: self.counters.delivered.get(),
            seconds: (self.counters.last.get() - begin).as_secs_f64(),
            cpu,
            latencies,
        })
    }

    fn senders(&self) -> impl Iterator<Item = &Rc<Client>> + Clone {
        let (clients, senders) = (self.plan.clients, self.plan.senders);
        let sends = move |(n, _): &(usize, &Connected)| n % clients < senders;
        self.clients
            .iter()
            .enumerate()
            .filter(sends)
            .map(|(_, c)| &c.client)
    }

    /// Sends the due messages, with each sender in turn.
    async fn send_at_rate(&self, rate: u32, begin: Instant, lasts: Duration) {
        let total = (f64::from(rate) * lasts.as_secs_f64()) as u32;
        let due = |n: u32| begin + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
        let mut turns = self.senders().cycle();
        let mut sent = 0;
        while sent < total {
            let now = Instant::now();
            while sent < total && due(sent) <= now {
                let late = now - due(sent) > LATE;
                if let Some(sender) = turns.next() {
                    sender.send(1, if late { due(sent) } else { now });
                }
                sent += 1;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// The number of clients that receive each message. Clients that stopped reading do not count.
    fn receivers(&self) -> usize {
        self.plan.clients - usize::from(self.plan.stalled)
    }

    async fn settle(&self) {
        let expected = || self.counters.sent.get() * self.receivers() as u64;
        let since = Instant::now();
        let waits = || self.counters.last.get().max(since).elapsed() < ARRIVAL_LIMIT;
        while self.counters.delivered.get() < expected() && waits() {
            tokio::time::sleep(STEP).await;
        }
        // A duplicate would arrive after the expected messages.
        self.counters.quiet(QUIET).await;
    }

    fn check(&self) -> Result<(), String> {
        self.counters.check(self.receivers() as u64)?;
        for chat in self.clients.chunks(self.plan.clients) {
            let seen = chat.iter().take(self.receivers()).map(|c| c.client.seen());
            let (least, most) = (seen.clone().min(), seen.max());
            if least != most {
                return Err(format!(
                    "members of one chat saw {least:?} to {most:?} messages"
                ));
            }
        }
        Ok(())
    }
}
