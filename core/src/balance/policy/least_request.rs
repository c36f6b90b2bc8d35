//! `least-request`: the power of two choices.
//!
//! Two distinct candidates are drawn from one 64-bit number, and the one with the lower
//! `(picks in flight + 1) / weight` gets the call; on a tie the one drawn first. The fractions are compared
//! exactly, by cross-multiplication. Distinct, because drawing with replacement lets the busiest win against
//! itself (envoyproxy/envoy#14859). With two choices the longest queue grows with log log n, not with
//! log n / log log n (Azar et al. 1999; Mitzenmacher 2001).
//!
//! Calls in flight settle in proportion to the weights. Of two that are idle the heavier wins, so an instance much
//! lighter than its peers is left alone until they are loaded: with weights 1 and 0.1, until each has ten calls. For
//! a share of sparse traffic by weight use `random` or `round-robin`.
//!
//! The counters are packed `u32`s and the choice is no branch: a branch would be mispredicted half the time.

use core::hint::select_unpredictable;

use super::Candidates;
use crate::balance::filter::TRIES;
use crate::balance::members::Members;
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Scale {
    /// All weights are equal, so that counters compare as they are.
    even: bool,
}

impl Scale {
    pub(super) fn build(slots: &[u32], members: &Members) -> Self {
        Self { even: members.are_even(slots) }
    }

    #[inline]
    pub(super) fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let count = candidates.len();
        if candidates.excluded.is_empty() && count > 1 {
            let (one, two) = rng.two_distinct(count);
            return self.better(candidates, candidates.slot(one)?, candidates.slot(two)?);
        }
        self.pick_open(candidates, rng)
    }

    #[inline]
    fn better(&self, candidates: &Candidates<'_>, one: u32, two: u32) -> Option<u32> {
        let members = candidates.members;
        let (load_one, load_two) = (members.in_flight(one)?, members.in_flight(two)?);
        let first = if self.even {
            load_one <= load_two
        } else {
            // At most 2^20 + 1 picks in flight, weights below 2^26.
            let cross = |load: u32, weight: u32| u64::from(load).wrapping_add(1).wrapping_mul(u64::from(weight));
            cross(load_one, members.weight(two)) <= cross(load_two, members.weight(one))
        };
        Some(select_unpredictable(first, one, two))
    }

    /// Draws pairs until one has no excluded candidate, and after [`TRIES`] of them draws among the rest. One
    /// candidate needs no draw.
    #[cold]
    #[inline(never)]
    fn pick_open(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let count = candidates.len();
        if count < 2 {
            return candidates.open().next();
        }
        for _ in 0..TRIES {
            let (one, two) = rng.two_distinct(count);
            let (one, two) = (candidates.slot(one)?, candidates.slot(two)?);
            if candidates.is_open(one) && candidates.is_open(two) {
                return self.better(candidates, one, two);
            }
        }
        let open = candidates.open().count() as u32;
        if open < 2 {
            return candidates.open().next();
        }
        let (one, two) = rng.two_distinct(open);
        let nth = |place: u32| candidates.open().nth(place as usize);
        self.better(candidates, nth(one)?, nth(two)?)
    }
}
