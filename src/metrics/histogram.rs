//! Metric types: a histogram of atomics, because the library's histogram takes a lock for each
//! value, and samples that are read on each scrape.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::ConstCounter, gauge::ConstGauge},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The buckets of a histogram: the upper bounds as whole numbers, and how many of these make one
/// exposed unit.
#[derive(Debug)]
pub(super) struct Scale {
    bounds: &'static [u64],
    per_unit: f64,
}

/// Durations, kept in microseconds and exposed in seconds. The bounds range from a commit without a
/// disk to the longest time that a request may take.
pub(super) static TIME: Scale = Scale {
    bounds: &[
        500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 15_000_000,
    ],
    per_unit: 1e6,
};

/// Changes in a transaction, up to the largest batch.
pub(super) static BATCH: Scale = Scale {
    bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    per_unit: 1.0,
};

/// The number of values per bucket. A clone shares the numbers.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    scale: &'static Scale,
    /// One number per bound, and one for the values above the last bound.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(scale: &'static Scale) -> Self {
        let counts = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0));
        Self(Arc::new(Cells {
            scale,
            counts: counts.collect(),
            sum: AtomicU64::new(0),
        }))
    }

    /// Records a duration.
    pub fn observe_time(&self, took: Duration) {
        self.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Records a value: two additions to atomics, without a lock and without an allocation.
    pub fn observe(&self, value: u64) {
        let bucket = self.0.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.0.sum.fetch_add(value, Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), fmt::Error> {
        let Cells { scale, counts, sum } = &*self.0;
        let bounds = scale.bounds.iter().map(|bound| *bound as f64);
        let bounds = bounds.map(|bound| bound / scale.per_unit);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = counts.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Computed from the numbers just read, so that the total agrees with the buckets.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = sum.load(Relaxed) as f64 / scale.per_unit;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// A metric that is read on each scrape.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The name, without the prefix of the registry.
    pub name: &'static str,
    /// The description.
    pub help: &'static str,
    /// The type of the metric.
    pub kind: Kind,
    /// The current value.
    pub value: f64,
}

/// The type of a sampled metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The value rises and falls.
    Gauge,
    /// The value only rises.
    Counter,
}

type Read = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Reads and encodes all samples on each scrape.
pub(super) struct Samples(Read);

impl Samples {
    pub(super) fn new(read: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings(…)")
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for reading in (self.0)() {
            let metric: Box<dyn EncodeMetric> = match reading.kind {
                Kind::Gauge => Box::new(ConstGauge::new(reading.value)),
                Kind::Counter => Box::new(ConstCounter::new(reading.value)),
            };
            let kind = metric.metric_type();
            let metric_encoder =
                encoder.encode_descriptor(reading.name, reading.help, None, kind)?;
            metric.encode(metric_encoder)?;
        }
        Ok(())
    }
}
