//! How many values there were of which size, counted by many threads at once. Knows no clock, and nobody who reads it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Values counted by the smallest bound that is not below them.
#[derive(Debug)]
pub struct Histogram {
    /// Rising.
    bounds: &'static [u64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Of all values.
    pub sum: u64,
    /// How many values were at most the bound, and above the one before. `None`: above the last.
    pub buckets: Vec<(Option<u64>, u64)>,
}

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Histogram {
        debug_assert!(bounds.is_sorted());
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub fn add(&self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// While values are added, the sum may be of a few more or fewer of them.
    pub fn read(&self) -> Counted {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        Counted { sum: self.sum.load(Relaxed), buckets: bounds.zip(counts).collect() }
    }
}

impl Counted {
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_by_the_smallest_bound_that_is_not_below_it() {
        let histogram = Histogram::new(&[1, 10]);
        [0, 1, 2, 10, 11, 1000].into_iter().for_each(|value| histogram.add(value));
        let counted = histogram.read();
        assert_eq!(counted.buckets, [(Some(1), 2), (Some(10), 2), (None, 2)]);
        assert_eq!((counted.sum, counted.count()), (1024, 6));
    }
}
