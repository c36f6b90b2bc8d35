//! The one generator of the crate.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};

/// A seeded generator whose stream is the same on every target and in every release.
///
/// Xoshiro256++ seeded through SplitMix64, which rand documents as portable; `SmallRng` and `StdRng` are not.
/// Kept behind this type so that rand is no part of the public API. Ranges are drawn as `u32`, never `usize`.
#[derive(Clone, Debug)]
pub(crate) struct Rng(Xoshiro256PlusPlus);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    #[inline(always)]
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound` (0 for a bound of 0), by multiply-shift over 64 bits: the bias is below
    /// 2^-32 for any `u32` bound, and one draw always suffices.
    #[cfg(test)]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.next_u64()).wrapping_mul(u128::from(bound))) >> 64) as u32
    }

    /// A number below `bound` (0 for a bound of 0).
    #[inline]
    pub(crate) fn below_u64(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()).wrapping_mul(u128::from(bound))) >> 64) as u64
    }

    /// A number from 0 up to but not including 1, from the upper 53 bits of one draw.
    pub(crate) fn unit(&mut self) -> f64 {
        // 2^-53; both the conversion and the product are exact.
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Two distinct indices below `n`, from one draw; `n` must be at least 2.
    #[inline(always)]
    pub(crate) fn two_distinct(&mut self, n: u32) -> (u32, u32) {
        let bits = self.next_u64();
        let scale = |half: u64, n: u32| ((half & 0xffff_ffff).wrapping_mul(u64::from(n)) >> 32) as u32;
        let first = scale(bits, n);
        let second = scale(bits >> 32, n.saturating_sub(1));
        (first, if second >= first { second.wrapping_add(1) } else { second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        // SplitMix64 seeding of xoshiro256++ from 0, as the reference implementation gives it.
        let mut rng = Rng::new(0);
        assert_eq!([rng.next_u64(), rng.next_u64()], [5_987_356_902_031_041_503, 7_051_070_477_665_621_255]);
    }

    #[test]
    fn ranges_are_covered_and_pairs_distinct() {
        let mut rng = Rng::new(7);
        let mut seen = [[0u32; 5]; 5];
        for _ in 0..20_000 {
            let (a, b) = rng.two_distinct(5);
            assert_ne!(a, b);
            seen[a as usize][b as usize] += 1;
            assert!(rng.below(3) < 3 && rng.below_u64(u64::MAX) < u64::MAX);
        }
        for (a, row) in seen.iter().enumerate() {
            for (b, hits) in row.iter().enumerate() {
                assert!(a == b || (850..1150).contains(hits), "{a},{b}: {hits}");
            }
        }
        assert_eq!(rng.below(0), 0);
        let pairs: std::vec::Vec<_> = (0..100).map(|_| rng.two_distinct(2)).collect();
        assert!([(0, 1), (1, 0)].iter().all(|pair| pairs.contains(pair)));
    }
}
