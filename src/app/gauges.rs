//! What `/metrics` reads of the parts at the moment it is asked.

use crate::{
    cluster::{Link, LinkState, LinkStats},
    database::Pools,
    delivery::Writer,
    hub::Hub,
    metrics::{Kind, Sample},
    service::TotalsService,
    telemetry,
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Where the numbers are.
pub(super) struct GaugeSources {
    pub(super) hub: Hub,
    /// The link to the other nodes; null on a single node.
    pub(super) link: Option<Link>,
    pub(super) pools: Pools,
    pub(super) writer: Writer,
    pub(super) totals: TotalsService,
    pub(super) sockets: TaskTracker,
    /// The places for connections, and how many there are in all.
    pub(super) permits: Arc<Semaphore>,
    pub(super) most_connections: usize,
}

impl GaugeSources {
    /// All of them: each is a length or an atomic, two are behind the hub's short locks.
    pub(super) fn read(&self) -> Vec<Sample> {
        let mut readings = self.of_callers().to_vec();
        readings.push(counter(
            "log_lines_dropped",
            "Lines of the log that found no room, because the log was not read",
            telemetry::dropped_lines(),
        ));
        readings.extend(self.of_store());
        readings.extend(self.of_rows());
        readings.extend(self.of_link());
        readings
    }

    fn of_callers(&self) -> [Sample; 5] {
        let census = self.hub.hub_stats();
        let free = self.permits.available_permits();
        let open = self.most_connections.saturating_sub(free);
        [
            gauge("connections", "Connections open", open),
            gauge(
                "connections_max",
                "Most connections at once",
                self.most_connections,
            ),
            gauge(
                "sockets",
                "Sockets open, those that say who they are included",
                self.sockets.len(),
            ),
            gauge(
                "chats_in_memory",
                "Chats that somebody is connected to",
                census.chats,
            ),
            gauge("users_online", "Users with a socket", census.users),
        ]
    }

    fn of_store(&self) -> [Sample; 5] {
        let (waiting, room) = self.writer.queue();
        let pool = self.pools.connections();
        let idle = "Connections to the database that do nothing";
        let most = "Most connections to the database";
        [
            gauge("queue_depth", "Changes that wait for the writer", waiting),
            gauge("queue_max", "Most changes that may wait", room),
            gauge(
                "database_connections",
                "Connections to the database",
                pool.open,
            ),
            gauge("database_connections_idle", idle, pool.idle),
            gauge("database_connections_max", most, pool.most),
        ]
    }

    /// None of them before the store has answered once.
    fn of_rows(&self) -> Vec<Sample> {
        let Some(totals) = self.totals.latest() else {
            return Vec::new();
        };
        let gauge = |name, help, value: i64| gauge(name, help, usize::try_from(value).unwrap_or(0));
        vec![
            gauge("users", "Users stored", totals.users),
            gauge("chats", "Chats stored", totals.chats),
            gauge(
                "messages",
                "Messages stored, deleted ones included",
                totals.messages,
            ),
            gauge("sessions", "Sessions stored", totals.sessions),
            gauge("database_size_bytes", "Size of the database", totals.bytes),
        ]
    }

    fn of_link(&self) -> [Sample; 8] {
        let link = self.link.as_ref();
        let linked = usize::from(link.is_some());
        let up = usize::from(link.is_some_and(|link| link.state() == LinkState::Up));
        let stats = link.map_or_else(LinkStats::default, Link::stats);
        let healed = "Times that a chat had missed something of another server";
        [
            gauge("link_configured", "1 where there are other servers", linked),
            gauge("link_up", "1 while connected to NATS", up),
            gauge(
                "link_nodes",
                "Other servers that are heard",
                self.hub.nodes_heard(),
            ),
            counter("link_published", "Messages handed to NATS", stats.published),
            counter("link_received", "Messages of other servers", stats.received),
            counter(
                "link_dropped",
                "Messages that NATS was not handed",
                stats.dropped,
            ),
            counter("link_healed", healed, self.hub.healed()),
            counter(
                "link_reconnects",
                "Times that NATS was lost and found",
                stats.reconnects,
            ),
        ]
    }
}

fn gauge(name: &'static str, help: &'static str, value: usize) -> Sample {
    Sample {
        name,
        help,
        kind: Kind::Gauge,
        value: value as f64,
    }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample {
        name,
        help,
        kind: Kind::Counter,
        value: value as f64,
    }
}
