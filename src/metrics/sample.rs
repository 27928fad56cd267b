//! Metrics that are read on each scrape instead of being counted.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

/// A metric that is read on each scrape.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The name, without the prefix of the registry.
    pub name: &'static str,
    /// The description.
    pub help: &'static str,
    /// The type of the metric.
    pub kind: SampleKind,
    /// The current value.
    pub value: f64,
}

/// The type of a sampled metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// The value rises and falls.
    Gauge,
    /// The value only rises.
    Counter,
}

type ReadSamples = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Reads and encodes all samples on each scrape.
pub(super) struct Samples(ReadSamples);

impl Samples {
    pub(super) fn new(read: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Samples(…)")
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for sample in (self.0)() {
            let metric: Box<dyn EncodeMetric> = match sample.kind {
                SampleKind::Gauge => Box::new(ConstGauge::new(sample.value)),
                SampleKind::Counter => Box::new(ConstCounter::new(sample.value)),
            };
            let kind = metric.metric_type();
            let metric_encoder = encoder.encode_descriptor(sample.name, sample.help, None, kind)?;
            metric.encode(metric_encoder)?;
        }
        Ok(())
    }
}
