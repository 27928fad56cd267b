//! The gauges and counters that `/metrics` reads from the parts of the server on each scrape.

use crate::{
    cluster::{Link, LinkState, LinkStats},
    database::Pools,
    delivery::Writer,
    hub::Hub,
    metrics::{Sample, SampleKind},
    service::TotalsService,
    telemetry,
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The parts of the server that the samples are read from.
pub(super) struct GaugeSources {
    pub(super) hub: Hub,
    /// The link to the other nodes; `None` on a single node.
    pub(super) link: Option<Link>,
    pub(super) pools: Pools,
    pub(super) writer: Writer,
    pub(super) totals: TotalsService,
    pub(super) sockets: TaskTracker,
    /// The connection permits; `most_connections` is their total number.
    pub(super) permits: Arc<Semaphore>,
    pub(super) most_connections: usize,
}

impl GaugeSources {
    /// Returns all samples. Each is a length or an atomic; two are read under the hub's short locks.
    pub(super) fn read(&self) -> Vec<Sample> {
        let mut samples = self.connection_samples().to_vec();
        samples.push(counter(
            "log_lines_dropped",
            "Log lines dropped, because the log was not read in time",
            telemetry::dropped_lines(),
        ));
        samples.extend(self.store_samples());
        samples.extend(self.row_samples());
        samples.extend(self.link_samples());
        samples
    }

    fn connection_samples(&self) -> [Sample; 5] {
        let stats = self.hub.hub_stats();
        let free = self.permits.available_permits();
        let open = self.most_connections.saturating_sub(free);
        [
            gauge("connections", "Open connections", open),
            gauge(
                "connections_max",
                "Maximum number of open connections",
                self.most_connections,
            ),
            gauge(
                "sockets",
                "Open sockets, including those that have not identified their user yet",
                self.sockets.len(),
            ),
            gauge(
                "chats_in_memory",
                "Chats with at least one connected socket",
                stats.chats,
            ),
            gauge(
                "users_online",
                "Users with at least one connected socket",
                stats.users,
            ),
        ]
    }

    fn store_samples(&self) -> [Sample; 5] {
        let (waiting, room) = self.writer.queue();
        let pool = self.pools.connections();
        let idle = "Idle connections to the database";
        let most = "Maximum number of connections to the database";
        [
            gauge("queue_depth", "Changes that wait for the writer", waiting),
            gauge("queue_max", "Maximum number of waiting changes", room),
            gauge(
                "database_connections",
                "Open connections to the database",
                pool.open,
            ),
            gauge("database_connections_idle", idle, pool.idle),
            gauge("database_connections_max", most, pool.most),
        ]
    }

    /// Returns the samples about stored rows. Empty until the database has answered once.
    fn row_samples(&self) -> Vec<Sample> {
        let Some(totals) = self.totals.latest() else {
            return Vec::new();
        };
        let gauge = |name, help, value: i64| gauge(name, help, usize::try_from(value).unwrap_or(0));
        vec![
            gauge("users", "Users stored", totals.users),
            gauge("chats", "Chats stored", totals.chats),
            gauge(
                "messages",
                "Messages stored, including deleted messages",
                totals.messages,
            ),
            gauge("sessions", "Sessions stored", totals.sessions),
            gauge("database_size_bytes", "Size of the database", totals.bytes),
        ]
    }

    fn link_samples(&self) -> [Sample; 8] {
        let link = self.link.as_ref();
        let linked = usize::from(link.is_some());
        let up = usize::from(link.is_some_and(|link| link.state() == LinkState::Up));
        let stats = link.map_or_else(LinkStats::default, Link::stats);
        let healed = "Times that a chat missed changes of another server";
        [
            gauge("link_configured", "1 if NATS_URL is set, else 0", linked),
            gauge("link_up", "1 while connected to NATS, else 0", up),
            gauge(
                "link_nodes",
                "Other servers with a recent heartbeat",
                self.hub.nodes_heard(),
            ),
            counter("link_published", "Messages passed to NATS", stats.published),
            counter(
                "link_received",
                "Messages received from other servers",
                stats.received,
            ),
            counter(
                "link_dropped",
                "Messages not passed to NATS, because it was unreachable or too slow",
                stats.dropped,
            ),
            counter("link_healed", healed, self.hub.healed()),
            counter(
                "link_reconnects",
                "Times that the connection to NATS was lost and restored",
                stats.reconnects,
            ),
        ]
    }
}

fn gauge(name: &'static str, help: &'static str, value: usize) -> Sample {
    Sample {
        name,
        help,
        kind: SampleKind::Gauge,
        value: value as f64,
    }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample {
        name,
        help,
        kind: SampleKind::Counter,
        value: value as f64,
    }
}
