//! `stride`: the static stride scheduler of gRPC's weighted round robin (A58).
//!
//! The weights are scaled so that the largest is 65535. A sequence number counts on: its remainder by the number of
//! candidates names one, its quotient the generation, and the candidate is passed over unless
//! `(weight x generation + place x 32767) mod 65535 >= 65535 - weight`. The heaviest is never passed over, so a pick looks
//! at no more candidates than the largest weight has of the smallest; there is no queue and no state but one number.
//!
//! Like gRPC's Java and C++ versions, and unlike Go's, weights are held between a tenth and ten times their mean, unless
//! `clamp` says otherwise. The sequence starts at `seed`.

use alloc::vec::Vec;

use super::Candidates;
use crate::balance::members::Members;
use crate::error::Error;
use crate::value::{Fields, Value};

/// gRPC's static stride scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stride {
    /// Whether weights are held between a tenth and ten times their mean; default true.
    pub clamp: bool,
}

impl Default for Stride {
    fn default() -> Self {
        Self { clamp: true }
    }
}

impl Stride {
    /// Reads `{kind?, clamp?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "clamp"])?;
        Ok(Self { clamp: fields.bool("clamp")?.unwrap_or(true) })
    }

    /// Writes `{kind, clamp}`.
    pub fn to_value(&self) -> Value {
        Value::map([("kind", Value::from("stride")), ("clamp", self.clamp.into())])
    }
}

const MAX: u64 = 65_535;
/// What sets neighbours of equal weight apart.
const OFFSET: u64 = 32_767;
/// Candidates that are looked at for one pick, so that it is bounded without `clamp` too: then the heaviest are rarer.
const STEPS: u32 = 1 << 16;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Strides {
    weights: Vec<u16>,
    sequence: u32,
}

impl Strides {
    pub(super) fn build(stride: Stride, slots: &[u32], members: &Members, seed: u64) -> Self {
        let weights: Vec<f64> = slots.iter().map(|slot| f64::from(members.weight(*slot))).collect();
        // The sequence goes on where a build before left it.
        let parked = slots.iter().find_map(|slot| members.turn(*slot));
        Self { weights: scale(stride.clamp, &weights), sequence: parked.map_or(seed as u32, |turn| turn as u32) }
    }

    /// Writes the sequence number down with every candidate, so that whoever stays hands it on.
    pub(super) fn park(&mut self, slots: &[u32], members: &mut Members) {
        for slot in slots {
            members.set_turn(*slot, i64::from(self.sequence));
        }
    }

    pub(super) fn pick(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let start = self.sequence;
        for _ in 0..STEPS {
            let place = self.step()?;
            let slot = candidates.slot(place)?;
            if candidates.excluded.is_empty() || candidates.is_open(slot) {
                return Some(slot);
            }
            if self.sequence.wrapping_sub(start) >= STEPS {
                break;
            }
        }
        // The open ones are far lighter than the excluded.
        candidates.open().next()
    }

    /// The next of the sequence, open or not.
    #[inline]
    fn step(&mut self) -> Option<u32> {
        let count = self.weights.len() as u32;
        loop {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            let (place, generation) = (sequence.checked_rem(count)?, sequence.checked_div(count)?);
            let weight = u64::from(*self.weights.get(place as usize)?);
            // Below 2^16 x 2^32 + 2^32 x 2^15.
            let phase = weight.wrapping_mul(u64::from(generation)).wrapping_add(u64::from(place).wrapping_mul(OFFSET));
            // The heaviest has 65535, and any phase will do for it; so this ends within one round.
            if phase.checked_rem(MAX)? >= MAX.wrapping_sub(weight) {
                return Some(place);
            }
        }
    }
}

/// Scales weights so that the largest is 65535. One that is not above 0 counts as the mean of the others.
fn scale(clamp: bool, weights: &[f64]) -> Vec<u16> {
    let usable = || weights.iter().copied().filter(|weight| *weight > 0.0);
    let count = usable().count();
    if count < 2 {
        return weights.iter().map(|_| MAX as u16).collect();
    }
    let (sum, largest) =
        usable().fold((0.0, 0.0), |(sum, largest), weight| (sum + weight, if weight > largest { weight } else { largest }));
    let mean = sum / count as f64;
    let top = if clamp && largest > mean * 10.0 { mean * 10.0 } else { largest };
    let floor = if clamp { mean / 10.0 } else { 0.0 };
    let factor = MAX as f64 / top;
    let scaled = |weight: f64| {
        let weight = if weight > 0.0 { weight } else { mean };
        let weight = if weight > top { top } else { weight };
        let weight = if weight < floor { floor } else { weight };
        // At most 65535, and at least 1 so that it has a turn.
        ((weight * factor + 0.5) as u16).max(1)
    };
    weights.iter().map(|weight| scaled(*weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::filter::Excluded;
    use std::vec;

    fn strides(weights: &[f64], sequence: u32) -> Strides {
        Strides { weights: scale(true, weights), sequence }
    }

    fn counts(weights: &[f64], sequence: u32, picks: u32) -> Vec<u32> {
        let mut strides = strides(weights, sequence);
        let mut counts = vec![0; weights.len()];
        for _ in 0..picks {
            counts[strides.step().unwrap() as usize] += 1;
        }
        counts
    }

    /// gRPC Java, WeightedRoundRobinLoadBalancerTest.
    #[test]
    fn the_published_picks() {
        for start in [0, u32::MAX] {
            let mut strides = strides(&[2.0, 3.0, 6.0], start);
            let picks: Vec<(u32, u32)> = (0..6).map(|_| (strides.step().unwrap(), strides.sequence)).collect();
            assert_eq!(picks, [(1, 2), (2, 3), (2, 6), (0, 7), (1, 8), (2, 9)], "{start}");
        }
        assert_eq!(counts(&[1.0, 2.0, 3.0], 0, 6), [1, 2, 3]);
        assert_eq!(counts(&[3.0, 0.0, 1.0], 0, 6), [3, 2, 1]);
        assert_eq!(counts(&[3.0, -1.0, 1.0], 0, 6), [3, 2, 1]);
        assert_eq!(counts(&[1.0, 1.0, 1.0], 7, 6), [2, 2, 2]);
        assert_eq!(counts(&[0.0, 0.0, 0.0], 0, 6), [2, 2, 2]);
        let mut lopsided = vec![1.0; 20];
        lopsided[0] = 81.0;
        let mut expected = vec![1; 20];
        expected[0] = 50;
        assert_eq!(counts(&lopsided, 0, 69), expected);
        assert_eq!(counts(&[100.0, 1e-10], 0, 105), [100, 5]);
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        for (weights, start) in [
            (vec![1.43, 2.119], 0),
            (vec![1.3, 2.5, 3.23, 4.11, 7.001], 0),
            (vec![1.0, 2.0, 3.0, 4.0, 5.0], u32::MAX),
            (vec![1.0, 2.0, 3.0, 4.0, 5.0], 0u32.wrapping_sub(500)),
        ] {
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts(&weights, start, 1_000).iter().zip(&weights) {
                assert!((f64::from(*count) / 1_000.0 - weight / total).abs() <= 0.002, "{weights:?} {count}");
            }
        }
    }

    #[test]
    fn excluded_ones_are_passed_over_and_a_change_goes_on() {
        let (mut members, slots) = Members::fixture(&[1, 65_535_000, 1]);
        let mut strides = Strides::build(Stride { clamp: false }, &slots, &members, 5);
        let heavy = [members.handle(1).unwrap()];
        for _ in 0..3 {
            let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&heavy), now: 0, log: None };
            assert_ne!(strides.pick(&candidates), Some(1));
        }
        let at = strides.sequence;
        strides.park(&slots, &mut members);
        assert_eq!(Strides::build(Stride::default(), &slots, &members, 5).sequence, at);
    }
}
