//! What the server counts and measures of itself, for Prometheus.
//!
//! Each server has a registry of its own, nothing is global. Whatever stands on a message's way is
//! an atomic that was made at the start: counting neither locks nor allocates there. Labels with a
//! value that is looked up (requests, refusals, logins) cost a short lock, once a request and never
//! once a delivery. What can be read when somebody asks is not counted at all: see `Sample`.

mod histogram;
mod process;
mod prometheus_text;

use histogram::{BATCH, Samples, TIME};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, info::Info},
    registry::Registry,
};
use std::{fmt, sync::Arc, time::Duration};

pub use histogram::{Histogram, Kind, Sample};
pub use process::mark_start;

/// What every name of the server's own begins with.
const PREFIX: &str = "messaging";

/// Everything that is counted where it happens. Cloning shares it.
#[derive(Clone)]
pub struct Metrics {
    /// The writer's.
    pub writer: WriterMetrics,
    /// The feeds'.
    pub feeds: FeedMetrics,
    /// How old messages of other servers were when they came, by both clocks.
    pub link_lag: Histogram,
    /// The requests' and sockets'.
    pub routes: RouteMetrics,
}

/// What the writer counts: it is one task, so that nothing here is contended.
#[derive(Clone)]
pub struct WriterMetrics {
    /// Messages sent, edited and deleted, once they are committed.
    pub sent: Counter,
    /// The same, edited.
    pub edited: Counter,
    /// The same, deleted.
    pub deleted: Counter,
    /// Changes in a transaction.
    pub batch: Histogram,
    /// How long a transaction took, publication included.
    pub commit: Histogram,
    /// From the moment a change was handed in until it was committed and published.
    pub publication: Histogram,
    committed: Family<ChangeLabel, Counter>,
}

/// What the feeds count.
#[derive(Clone)]
pub struct FeedMetrics {
    /// Sockets that were too slow for their chat, and read on from the database.
    pub overruns: Counter,
    /// Sockets whose chat had a hole or was behind, and that read on from the database.
    pub gaps: Counter,
    /// Pages of changes that were read for sockets.
    pub reads: Counter,
    /// Sockets that began with what they had missed.
    pub replays: Counter,
    /// Messages that sockets were sent from the database.
    pub replayed: Counter,
    healings: Family<CauseLabel, Counter>,
}

/// What is counted for each request and each refusal.
#[derive(Clone)]
pub struct RouteMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    logins: Family<OutcomeLabel, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ChangeLabel {
    change: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
    via: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            writer: WriterMetrics::default(),
            feeds: FeedMetrics::default(),
            link_lag: Histogram::new(&TIME),
            routes: RouteMetrics::default(),
        }
    }
}

impl Default for WriterMetrics {
    fn default() -> Self {
        let committed = Family::<ChangeLabel, Counter>::default();
        let of = |change| committed.get_or_create(&ChangeLabel { change }).clone();
        Self {
            sent: of("sent"),
            edited: of("edited"),
            deleted: of("deleted"),
            batch: Histogram::new(&BATCH),
            commit: Histogram::new(&TIME),
            publication: Histogram::new(&TIME),
            committed,
        }
    }
}

impl Default for FeedMetrics {
    fn default() -> Self {
        let healings = Family::<CauseLabel, Counter>::default();
        let of = |cause| healings.get_or_create(&CauseLabel { cause }).clone();
        Self {
            overruns: of("overrun"),
            gaps: of("gap"),
            reads: Counter::default(),
            replays: Counter::default(),
            replayed: Counter::default(),
            healings,
        }
    }
}

impl Default for RouteMetrics {
    fn default() -> Self {
        let time: fn() -> Histogram = || Histogram::new(&TIME);
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(time),
            refusals: Family::default(),
            logins: Family::default(),
        }
    }
}

impl RouteMetrics {
    /// Counts an answered request. The route is a template, never a path: there are as many as the
    /// server has routes. Its text is copied once a request, beside the dozens that reading one takes.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        let (method, status) = (known_method(method), class(status));
        let label = RouteLabel {
            route: route.clone(),
        };
        let labels = RequestLabels {
            method,
            route,
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&label).observe_time(took);
    }

    /// Counts a refusal by its code.
    pub fn refusal(&self, code: &'static str, via: &'static str) {
        self.refusals
            .get_or_create(&RefusalLabels { code, via })
            .inc();
    }

    /// Counts a login by how it ended.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// The methods that somebody means; a caller may make up others without end.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("other")
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// What Prometheus is told. Cloning shares it.
#[derive(Clone)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Of all that is counted, and of what `readings` finds when it is asked.
    #[must_use]
    pub fn new(
        metrics: &Metrics,
        readings: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Self {
        let mut all = Registry::default();
        let registry = all.sub_registry_with_prefix(PREFIX);
        let version = env!("CARGO_PKG_VERSION");
        let build = Info::new([("version", version)]);
        registry.register("build", "What is running", build);
        register_writer(registry, &metrics.writer);
        register_feeds(registry, &metrics.feeds);
        let help = "How old messages of other servers were when they came, by both clocks";
        registry.register("link_lag_seconds", help, metrics.link_lag.clone());
        register_routes(registry, &metrics.routes);
        registry.register_collector(Box::new(Samples::new(readings)));
        all.register_collector(Box::new(Samples::new(process::read)));
        Self(Arc::new(all))
    }

    /// The whole of it at this moment.
    ///
    /// # Errors
    /// Never while there is memory: it is written into a string.
    pub fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        match format {
            Format::Plain => prometheus_text::plain(&text),
            Format::OpenMetrics => Ok(text),
        }
    }
}

/// How the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Plain,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// As `Content-Type` names it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

fn register_writer(registry: &mut Registry, writer: &WriterMetrics) {
    let help = "Messages sent, edited and deleted, once committed";
    registry.register("messages_committed", help, writer.committed.clone());
    let help = "Changes in one transaction";
    registry.register("batch_changes", help, writer.batch.clone());
    let help = "How long a transaction took, publication included";
    registry.register("commit_seconds", help, writer.commit.clone());
    let help = "From handing a change in until it was committed and published";
    registry.register("publication_seconds", help, writer.publication.clone());
}

fn register_feeds(registry: &mut Registry, feeds: &FeedMetrics) {
    let help = "Times that a socket had missed something and read it from the database";
    registry.register("feed_healings", help, feeds.healings.clone());
    let help = "Pages of changes that were read from the database for sockets";
    registry.register("feed_reads", help, feeds.reads.clone());
    let help = "Times that a socket came back and was sent what it had missed";
    registry.register("feed_replays", help, feeds.replays.clone());
    let help = "Messages that sockets were sent from the database";
    registry.register("feed_replayed_messages", help, feeds.replayed.clone());
}

fn register_routes(registry: &mut Registry, routes: &RouteMetrics) {
    let help = "Requests answered, by method, route template and class of status";
    registry.register("http_requests", help, routes.requests.clone());
    let help = "From a request's head to its answer's, by route template";
    registry.register("http_request_seconds", help, routes.durations.clone());
    let help = "Requests and frames refused, by the code of the error";
    registry.register("refusals", help, routes.refusals.clone());
    let help = "Logins, by how they ended";
    registry.register("logins", help, routes.logins.clone());
}
