//! Latencies and their percentiles.

use std::time::Duration;

/// Latencies in microseconds, sorted.
#[derive(Debug)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Sorts latencies in microseconds.
    pub fn of_micros(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        Self(micros)
    }

    /// Sorts latencies.
    pub fn of(durations: &[Duration]) -> Self {
        let micros = |latency: &Duration| u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        Self::of_micros(durations.iter().map(micros).collect())
    }

    /// The latency in milliseconds that `per_mille` of 1,000 do not exceed. 0 if there is none.
    pub fn ms(&self, per_mille: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (self.0.len() * per_mille / 1000).min(last);
        self.0
            .get(at)
            .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }

    /// The median and the 99th percentile as text.
    pub fn text(&self) -> String {
        format!("p50 {:.2} p99 {:.2} ms", self.ms(500), self.ms(990))
    }
}
