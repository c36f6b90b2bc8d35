//! `jump`: jump consistent hash (Lamping and Veach 2014), over the candidates in order of service and id.
//!
//! It needs no table, spreads the keys evenly and takes O(log n) steps; but it only knows numbers. When the last of the
//! order leaves, or one is added behind it, only the keys that must move do; when any other comes or goes, the numbers of
//! all behind it shift and most keys move. So it is for shards whose ids sort by age and that never leave, such as `s-000`,
//! `s-001`, ... It does not honour weights, save that an instance of weight 0 is no candidate.
//!
//! A key is hashed by xxHash64. The k-th next try is the bucket of the hash with its bits exclusive-or'ed with 2^64 - k;
//! after a few that find an excluded one the tries go along the order.

use super::maglev::retry;
use crate::error::Error;
use crate::value::{Fields, Value};

/// Jump consistent hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jump {
    /// The bound on a host's load, as a percentage of its fair share: 100 to 10 000; 0, the default, for none.
    pub load_factor: u32,
}

impl Jump {
    /// Checks the range of `load_factor`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::InvalidArgument`](crate::Code::InvalidArgument).
    pub fn validate(&self) -> Result<(), Error> {
        super::bounded::validate(self.load_factor)
    }

    /// Reads `{kind?, load_factor?}`.
    ///
    /// # Errors
    /// As [`Jump::validate`]; [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "load_factor"])?;
        Ok(Self { load_factor: super::bounded::from_fields(&fields)? })
    }

    /// Writes `{kind, load_factor}`.
    pub fn to_value(&self) -> Value {
        Value::map([("kind", "jump".into()), ("load_factor", super::bounded::to_value(self.load_factor))])
    }
}

/// The bucket of a key among so many; 0 when there are none.
#[inline]
pub(super) fn bucket(mut key: u64, count: u32) -> u32 {
    let (mut bucket, mut jump) = (0u64, 0u64);
    while jump < u64::from(count) {
        bucket = jump;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = 2_147_483_648.0 / (key >> 33).wrapping_add(1) as f64;
        // A bucket is below 2^32 and a step at most 2^31; the conversion drops the fraction, as the paper's does.
        jump = (bucket.wrapping_add(1) as f64 * step) as u64;
    }
    bucket as u32
}

/// Who is asked from a hash on: by `tries` more hashes, then along the order, once around.
pub(super) fn walk(hash: u64, slots: &[u32], tries: u64) -> impl Iterator<Item = u32> {
    let count = slots.len() as u32;
    let rehashed = (0..=tries).filter_map(move |attempt| slots.get(bucket(retry(hash, attempt), count) as usize).copied());
    let (before, after) = slots.split_at_checked(bucket(hash, count) as usize).unwrap_or_default();
    rehashed.chain(after.iter().chain(before).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// dgryski/go-jump's jump_test.go, and the golden values of Guava's `consistentHash`.
    #[test]
    fn buckets_are_the_published_ones() {
        let by_count = |key: u64, most: u32| -> Vec<u32> { (1..=most).map(|count| bucket(key, count)).collect() };
        assert_eq!(by_count(0, 20), [0; 20]);
        assert_eq!(by_count(1, 19), [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 17, 17]);
        assert_eq!(by_count(3_735_928_559, 19), [0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16]);
        let expected = [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 15, 15, 15, 15];
        assert_eq!(by_count(998_690_804_919_562_253, 19), expected);
        let golden = [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83];
        assert_eq!((0..20).map(|key| bucket(key, 100)).collect::<Vec<_>>(), golden);
        for (key, count, expected) in [
            (10_863_919_174_838_991, 11, 6),
            (2_016_238_256_797_177_309, 11, 3),
            (1_673_758_223_894_951_030, 11, 5),
            (2, 100_001, 80_343),
            (2_201, 100_001, 22_152),
            (2_202, 100_001, 15_018),
        ] {
            assert_eq!(bucket(key, count), expected, "{key}");
        }
    }
}
