//! How long single operations took.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What is longer counts as this long: an hour.
const NANOSECONDS_MAX: u64 = 3_600_000_000_000;

/// All latencies of one kind of operation, to three significant digits, in memory that does not grow with their number.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_max(NANOSECONDS_MAX, 3);
        Latencies(histogram.expect("three digits are among those that a histogram can have"))
    }

    /// Counts one more.
    pub fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanoseconds);
    }

    /// Counts all of `others` as well.
    pub fn add(&mut self, others: &Latencies) {
        let added = self.0.add(&others.0);
        added.expect("all latencies are counted within the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that so many percent of the operations did not exceed; zero if there were none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The worst one.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let near = |found: Duration, micros: f64| (found.as_secs_f64() * 1e6 / micros - 1.0).abs() < 0.002;
        assert_eq!(latencies.count(), 1_000);
        assert!(near(latencies.percentile(50.0), 500.0), "{:?}", latencies.percentile(50.0));
        assert!(near(latencies.percentile(99.0), 990.0), "{:?}", latencies.percentile(99.0));
        assert!(near(latencies.max(), 1_000.0), "{:?}", latencies.max());
    }
}
