//! The server's own metrics, for Prometheus.
//!
//! Each server has a registry of its own; nothing is global. Metrics on the path of a message are created at
//! the start, so counting there does not allocate: a counter is an atomic, a histogram takes a lock that only
//! the one writer and a scrape use, once per change. Metrics with a label value that is looked up (requests,
//! refusals, logins) take a short lock, once per request and never per delivery. Values that can be read on a scrape are not counted: see
//! `Sample`.

mod process;
mod prometheus_text;
mod sample;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use sample::Samples;
use std::{fmt, sync::Arc, time::Duration};

pub use process::mark_start;
pub use prometheus_client::metrics::histogram::Histogram;
pub use sample::{Sample, SampleKind};

/// Bounds of the buckets of a duration, in seconds: from a commit without a disk to the longest time that a
/// request may take.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];
/// Bounds of the buckets of the changes in a transaction, up to the largest batch.
const CHANGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Prefix of the names of the server's own metrics.
const PREFIX: &str = "messaging";

/// All metrics that are counted as events happen. A clone shares them.
#[derive(Clone)]
pub struct Metrics {
    /// Metrics of the writer.
    pub writer: WriterMetrics,
    /// Metrics of the feeds.
    pub feeds: FeedMetrics,
    /// Age of messages of other nodes on arrival, in seconds, as the difference between the clocks
    /// of both nodes.
    pub link_lag: Histogram,
    /// Metrics of requests and sockets.
    pub routes: RouteMetrics,
    /// Metrics of the search index.
    pub search: SearchMetrics,
}

/// Metrics of the writer. The writer is one task, so no metric here is contended.
#[derive(Clone)]
pub struct WriterMetrics {
    /// Messages sent and committed.
    pub sent: Counter,
    /// Messages edited and committed.
    pub edited: Counter,
    /// Messages deleted and committed.
    pub deleted: Counter,
    /// Changes per transaction.
    pub batch: Histogram,
    /// Duration of a transaction, publication included.
    pub commit: Histogram,
    /// Time from the submission of a change until it is committed and published.
    pub publication: Histogram,
    committed: Family<ChangeLabel, Counter>,
}

/// Metrics of the feeds.
#[derive(Clone)]
pub struct FeedMetrics {
    /// Sockets that were too slow for their chat and continued from the database.
    pub overruns: Counter,
    /// Sockets with a gap in their chat, or behind its head, that continued from the database.
    pub gaps: Counter,
    /// Pages of changes that were read from the database for sockets.
    pub reads: Counter,
    /// Sockets that started with a replay.
    pub replays: Counter,
    /// Messages that were sent to sockets from the database.
    pub replayed: Counter,
    healings: Family<CauseLabel, Counter>,
}

/// Metrics of the search index.
#[derive(Clone, Default)]
pub struct SearchMetrics {
    /// Changed messages that the index has read.
    pub indexed: Counter,
    /// Chats with changes that the index has not read yet, as far as this server knows.
    pub waiting: Gauge,
}

/// Metrics of requests, refusals and logins.
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
            link_lag: Histogram::new(SECONDS),
            routes: RouteMetrics::default(),
            search: SearchMetrics::default(),
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
            batch: Histogram::new(CHANGES),
            commit: Histogram::new(SECONDS),
            publication: Histogram::new(SECONDS),
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
        let time: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(time),
            refusals: Family::default(),
            logins: Family::default(),
        }
    }
}

impl RouteMetrics {
    /// Counts an answered request. The route is a template, never a path, so there are only as many
    /// label values as routes. The copy of its text is one allocation beside the dozens that a
    /// request takes.
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
        let duration = self.durations.get_or_create(&label);
        duration.observe(took.as_secs_f64());
    }

    /// Counts a refusal by its error code. `via` is `http` or `ws`.
    pub fn refusal(&self, code: &'static str, via: &'static str) {
        self.refusals
            .get_or_create(&RefusalLabels { code, via })
            .inc();
    }

    /// Counts a login by its outcome.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// Returns a known method, or `other`. A client may invent methods without end, and each would be a
/// new label value.
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

/// The registry of all metrics, as text for a scrape. A clone shares it.
#[derive(Clone)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Registers all metrics, and the samples that `samples` returns on each scrape.
    #[must_use]
    pub fn new(
        metrics: &Metrics,
        samples: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Self {
        let mut all = Registry::default();
        let registry = all.sub_registry_with_prefix(PREFIX);
        let version = env!("CARGO_PKG_VERSION");
        let build = Info::new([("version", version)]);
        registry.register(
            "build",
            "Version of the server, as a label; the value is always 1",
            build,
        );
        register_writer(registry, &metrics.writer);
        register_feeds(registry, &metrics.feeds);
        let help = "Age of messages of other servers on arrival, as the difference between both \
                    clocks";
        registry.register("link_lag_seconds", help, metrics.link_lag.clone());
        register_routes(registry, &metrics.routes);
        register_search(registry, &metrics.search);
        registry.register_collector(Box::new(Samples::new(samples)));
        all.register_collector(Box::new(Samples::new(process::read)));
        Self(Arc::new(all))
    }

    /// Encodes the current values of all metrics.
    ///
    /// # Errors
    /// Never while memory is available, because the text is written into a string.
    pub fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        match format {
            Format::Plain => prometheus_text::plain(&text),
            Format::OpenMetrics => Ok(text),
        }
    }
}

/// The text format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Plain,
    /// The text format of OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Returns the value of `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

fn register_writer(registry: &mut Registry, writer: &WriterMetrics) {
    let help = "Messages sent, edited and deleted, counted after the commit";
    registry.register("messages_committed", help, writer.committed.clone());
    let help = "Changes per transaction";
    registry.register("batch_changes", help, writer.batch.clone());
    let help = "Duration of a transaction, publication included";
    registry.register("commit_seconds", help, writer.commit.clone());
    let help = "Time from the submission of a change until it is committed and published";
    registry.register("publication_seconds", help, writer.publication.clone());
}

fn register_feeds(registry: &mut Registry, feeds: &FeedMetrics) {
    let help = "Times that a socket missed changes and read them from the database";
    registry.register("feed_healings", help, feeds.healings.clone());
    let help = "Pages of changes read from the database for sockets";
    registry.register("feed_reads", help, feeds.reads.clone());
    let help = "Times that a socket reconnected and received the changes it had missed";
    registry.register("feed_replays", help, feeds.replays.clone());
    let help = "Messages sent to sockets from the database";
    registry.register("feed_replayed_messages", help, feeds.replayed.clone());
}

fn register_search(registry: &mut Registry, search: &SearchMetrics) {
    let help = "Changed messages that the search index has read";
    registry.register("search_messages_indexed", help, search.indexed.clone());
    let help = "Chats with changes that the search index has not read yet";
    registry.register("search_chats_waiting", help, search.waiting.clone());
}

fn register_routes(registry: &mut Registry, routes: &RouteMetrics) {
    let help = "Answered requests, by method, route template and status class";
    registry.register("http_requests", help, routes.requests.clone());
    let help = "Time from the head of a request to the head of its response, by route template";
    registry.register("http_request_seconds", help, routes.durations.clone());
    let help = "Refused requests and frames, by error code";
    registry.register("refusals", help, routes.refusals.clone());
    let help = "Logins, by outcome";
    registry.register("logins", help, routes.logins.clone());
}
