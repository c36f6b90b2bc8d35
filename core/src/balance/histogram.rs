//! Latencies in buckets, so that a quantile needs neither the samples nor a sort.

/// Parts of an octave: a quantile is off by 1/16 at the most.
const PARTS: u64 = 8;
const PART_BITS: u32 = 3;
/// Enough for 2^30 microseconds, 18 minutes; what is longer counts as that.
pub(super) const BUCKETS: usize = 224;

/// A log-linear histogram of microseconds (as HdrHistogram's): exact below 8, eight buckets an octave above.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Histogram {
    pub(super) const fn new() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }

    fn bucket(value: u64) -> usize {
        let octave = (value | 1).ilog2();
        let place = match octave.checked_sub(PART_BITS) {
            None => value,
            Some(shift) => (u64::from(shift).wrapping_add(1) << PART_BITS).wrapping_add((value >> shift).wrapping_sub(PARTS)),
        };
        (place as usize).min(BUCKETS.wrapping_sub(1))
    }

    /// The values of a bucket: the lowest, and the first of the next.
    fn bounds(bucket: usize) -> (u64, u64) {
        let (octave, part) = ((bucket as u64) >> PART_BITS, (bucket as u64) % PARTS);
        match octave.checked_sub(1) {
            None => (part, part.wrapping_add(1)),
            // Below 2^31: there are 28 octaves.
            Some(shift) => (part.wrapping_add(PARTS) << shift, part.wrapping_add(PARTS).wrapping_add(1) << shift),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(Self::bucket(value)) {
            *count = count.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The value below which this share of them is, in microseconds: the middle of its bucket. None while it is empty.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        // The first that has at least this share of all at or below it; at least one.
        let wanted = f64::from(self.total) * share;
        let mut seen = 0u64;
        let bucket = self.counts.iter().position(|count| {
            seen = seen.saturating_add(u64::from(*count));
            seen > 0 && seen as f64 >= wanted
        })?;
        let (low, high) = Self::bounds(bucket);
        Some(low.midpoint(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_value_is_within_the_bounds_of_its_bucket() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (low, high) = Histogram::bounds(bucket);
            assert_eq!((low, Histogram::bucket(low), Histogram::bucket(high - 1)), (next, bucket, bucket));
            next = high;
        }
        assert_eq!((next, Histogram::bucket(u64::MAX)), (1 << 30, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let mut rng = crate::rng::Rng::new(5);
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), None);
        let mut values: Vec<u64> = (0..10_000u64).map(|draw| u64::from(rng.below(1 << (draw % 25)))).collect();
        values.iter().for_each(|value| histogram.add(*value));
        values.sort_unstable();
        for share in [0.01, 0.25, 0.5, 0.95, 0.999, 1.0] {
            let exact = values[((10_000.0 * share) as usize).max(1) - 1] as f64;
            let found = histogram.quantile(share).unwrap() as f64;
            assert!((found - exact).abs() <= exact / 15.0 + 1.0, "{share}: {found} {exact}");
        }
        histogram.clear();
        histogram.add(u64::MAX);
        assert!(histogram.total() == 1 && histogram.quantile(0.0).unwrap() > 900_000_000);
    }
}
