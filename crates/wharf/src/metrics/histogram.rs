//! A histogram of atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of Go's client for durations, in microseconds.
pub(super) const SECONDS: Bounds = Bounds {
    upper: &[
        5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    ],
    unit: 1e6,
};

/// Distribution's bounds for requests: the same, and two longer ones.
pub(super) const REQUEST_SECONDS: Bounds = Bounds {
    upper: &[
        5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
        25_000_000, 60_000_000,
    ],
    unit: 1e6,
};

/// From a tenth of a second to a day, for jobs.
pub(super) const JOB_SECONDS: Bounds = Bounds {
    upper: &[
        100_000,
        1_000_000,
        10_000_000,
        60_000_000,
        600_000_000,
        3_600_000_000,
        21_600_000_000,
        86_400_000_000,
    ],
    unit: 1e6,
};

/// Powers of two from 1 KiB to 2 GiB, as distribution has them for sizes, in bytes.
pub(super) const BYTES: Bounds = Bounds {
    upper: &[
        1 << 10,
        1 << 11,
        1 << 12,
        1 << 13,
        1 << 14,
        1 << 15,
        1 << 16,
        1 << 17,
        1 << 18,
        1 << 19,
        1 << 20,
        1 << 21,
        1 << 22,
        1 << 23,
        1 << 24,
        1 << 25,
        1 << 26,
        1 << 27,
        1 << 28,
        1 << 29,
        1 << 30,
        1 << 31,
    ],
    unit: 1.0,
};

/// Upper bounds, ascending, and how many of their units make one of the exported unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    upper: &'static [u64],
    unit: f64,
}

/// Counts observations in buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One more than there are bounds: the last holds what exceeds all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: Bounds) -> Self {
        let buckets = bounds.upper.len() + 1;
        Self {
            bounds,
            counts: std::iter::repeat_with(AtomicU64::default).take(buckets).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        self.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a size in bytes.
    pub(super) fn observe_bytes(&self, bytes: u64) {
        self.add(bytes);
    }

    fn add(&self, value: u64) {
        let bucket = self.bounds.upper.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Sum, count, and the count of each bucket with its upper bound.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let unit = self.bounds.unit;
        let upper = self.bounds.upper.iter();
        let bounds = upper
            .map(|bound| as_float(*bound) / unit)
            .chain(std::iter::once(f64::INFINITY));
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = as_float(self.sum.load(Ordering::Relaxed)) / unit;
        (sum, count, buckets)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has only floats; 53 bits of bytes or microseconds are exact enough"
)]
fn as_float(value: u64) -> f64 {
    value as f64
}
