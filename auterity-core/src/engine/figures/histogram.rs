//! Counts in buckets.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often something was how large.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The upper bounds of the buckets, in order.
    pub bounds: &'static [f64],
    /// How many fell into each; the last holds what is over every bound.
    pub counts: Vec<u64>,
    /// The sum of all, to a millionth each.
    pub sum: f64,
}

/// A histogram that is being filled.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    millionths: AtomicU64,
}

impl Buckets {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            millionths: AtomicU64::new(0),
        }
    }

    /// Counts something by its millionths.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what has 2^52 millionths is over every bound"
    )]
    pub(super) fn count(&self, millionths: u64) {
        let value = millionths as f64 / 1e6;
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.millionths.fetch_add(millionths, Ordering::Relaxed);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to 2^52 millionths, and a sum beyond is good to a part in 2^52"
    )]
    pub(super) fn read(&self) -> Histogram {
        let counts = self.counts.iter();
        Histogram {
            bounds: self.bounds,
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.millionths.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let buckets = Buckets::new(&[0.5, 1.0]);
        for millionths in [0, 500_000, 500_001, 1_000_000, 9_000_000] {
            buckets.count(millionths);
        }
        let read = buckets.read();
        assert_eq!(vec![2, 2, 1], read.counts);
        assert!((read.sum - 11.000_001).abs() < 1e-9, "{}", read.sum);
    }
}
