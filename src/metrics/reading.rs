//! What is read when somebody asks, and costs nothing until then.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

/// A number that was read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Its name, without the prefix that all have.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it is now.
    pub value: f64,
}

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Only up.
    Counter,
}

type Read = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

/// Reads them all.
pub(super) struct Readings(Read);

impl Readings {
    pub(super) fn new(read: impl Fn() -> Vec<Reading> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings(…)")
    }
}

impl Collector for Readings {
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
