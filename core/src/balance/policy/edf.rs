//! `edf`: earliest deadline first, the weighted round robin of Envoy's scheduler.
//!
//! Every candidate has a deadline of one period, `1 / weight`, after its last turn; the earliest gets the call, of equals
//! the one that was entered first, and its next deadline is one period later. Weights 1 and 2 give `b a b b a b`. The
//! weight is read when a turn is taken, so a change shows with the next one.
//!
//! With a `bias` the weight is `weight / (picks in flight + 1)^bias`: Envoy's weighted least request. A bias of 0 is the
//! plain round robin.
//!
//! What Envoy does not do: a change of the pool keeps the turns of those that stay (what is left of their period), where
//! Envoy starts anew and so gives the first pick after each change to the same candidate. A pool nobody in has had a turn
//! starts `seed` picks into the sequence (modulo the number of candidates), as Envoy does.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use super::Candidates;
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::value::{Fields, Value};

/// Earliest deadline first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Edf {
    /// How much the calls in flight lower the weight: 0 (not at all, the default) to 16.
    pub bias: f64,
}

impl Edf {
    /// Reads `{kind?, bias?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "bias"])?;
        let bias = fields.f64("bias")?.unwrap_or_default();
        // Written so that NaN fails too.
        if !(0.0..=16.0).contains(&bias) {
            return Err(Error::new(Code::InvalidArgument, "bias").message("a number from 0 to 16"));
        }
        Ok(Self { bias })
    }

    /// Writes `{kind, bias}`.
    pub fn to_value(&self) -> Value {
        Value::map([("kind", Value::from("edf")), ("bias", self.bias.into())])
    }
}

/// A parked turn is the part of the period that is left, in units of 2^-32.
const PERIOD: f64 = 4_294_967_296.0;
/// Deadlines are counted anew from here, so that their fractions stay exact enough.
const FAR: f64 = 1_048_576.0;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Schedule {
    heap: BinaryHeap<Reverse<Turn>>,
    now: f64,
    entered: u64,
    bias: f64,
    /// Turns that are passed over in one pick.
    aside: Vec<Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Turn {
    deadline: f64,
    entered: u64,
    place: u32,
}

impl Eq for Turn {}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.deadline.total_cmp(&other.deadline).then(self.entered.cmp(&other.entered))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Schedule {
    pub(super) fn build(bias: f64, slots: &[u32], members: &Members, seed: u64) -> Self {
        let mut schedule = Self { heap: BinaryHeap::with_capacity(slots.len()), now: 0.0, entered: 0, bias, aside: Vec::new() };
        for (place, slot) in (0u32..).zip(slots) {
            let left = members.turn(*slot).map_or(1.0, |turn| turn as f64 / PERIOD);
            let deadline = left / schedule.weight(members, *slot);
            schedule.enter(place, deadline);
        }
        if slots.iter().all(|slot| members.turn(*slot).is_none()) {
            for _ in 0..seed.checked_rem(slots.len() as u64).unwrap_or_default() {
                schedule.take(slots, members, |_| true);
            }
        }
        schedule
    }

    fn enter(&mut self, place: u32, deadline: f64) {
        self.heap.push(Reverse(Turn { deadline, entered: self.entered, place }));
        self.entered = self.entered.wrapping_add(1);
    }

    /// The weight a turn is taken with, above 0.
    #[inline]
    fn weight(&self, members: &Members, slot: u32) -> f64 {
        let weight = f64::from(members.weight(slot).max(1)) / 1_000.0;
        if self.bias == 0.0 {
            return weight;
        }
        let load = f64::from(members.in_flight(slot).unwrap_or_default()) + 1.0;
        weight / if self.bias == 1.0 { load } else { libm::pow(load, self.bias) }
    }

    /// Gives a turn to the first that is open. Those before it keep their deadlines.
    fn take(&mut self, slots: &[u32], members: &Members, is_open: impl Fn(u32) -> bool) -> Option<u32> {
        let mut taken = None;
        while let Some(Reverse(turn)) = self.heap.pop() {
            let slot = slots.get(turn.place as usize).copied()?;
            if !is_open(slot) {
                self.aside.push(turn);
                continue;
            }
            // A deadline that was passed over may lie behind.
            self.now = if turn.deadline > self.now { turn.deadline } else { self.now };
            let deadline = self.now + 1.0 / self.weight(members, slot);
            self.enter(turn.place, deadline);
            taken = Some(slot);
            break;
        }
        self.heap.extend(self.aside.drain(..).map(Reverse));
        if self.now > FAR {
            self.rebase();
        }
        taken
    }

    /// Counts the deadlines from now.
    #[cold]
    fn rebase(&mut self) {
        let now = core::mem::take(&mut self.now);
        let moved = self.heap.drain().map(|Reverse(turn)| Reverse(Turn { deadline: turn.deadline - now, ..turn }));
        let moved: Vec<Reverse<Turn>> = moved.collect();
        self.heap = BinaryHeap::from(moved);
    }

    /// Writes what is left of each candidate's period back to the members.
    pub(super) fn park(&mut self, slots: &[u32], members: &mut Members) {
        for Reverse(turn) in &self.heap {
            if let Some(slot) = slots.get(turn.place as usize) {
                let left = (turn.deadline - self.now) * self.weight(members, *slot);
                // From 0 to one period; the conversion saturates.
                members.set_turn(*slot, (left.clamp(0.0, 1.0) * PERIOD) as i64);
            }
        }
    }

    pub(super) fn pick(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let slots = candidates.slots;
        self.take(slots, candidates.members, |slot| candidates.excluded.is_empty() || candidates.is_open(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::filter::Excluded;
    use std::vec;

    fn thousandths(weights: &[u32]) -> Vec<u32> {
        weights.iter().map(|weight| weight * 1_000).collect()
    }

    fn sequence(weights: &[u32], seed: u64, count: usize) -> Vec<u32> {
        let (members, slots) = Members::fixture(&thousandths(weights));
        let mut schedule = Schedule::build(0.0, &slots, &members, seed);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        (0..count).map(|_| schedule.pick(&candidates).unwrap()).collect()
    }

    /// Envoy's load_balancer_impl_test and edf_scheduler_test; the last from traefik#6205.
    #[test]
    fn the_published_sequences() {
        assert_eq!(sequence(&[1, 2], 0, 6), [1, 0, 1, 1, 0, 1]);
        assert_eq!(sequence(&[2, 1, 3], 0, 12), [2, 0, 2, 1, 0, 2, 2, 0, 2, 2, 1, 0]);
        assert_eq!(sequence(&[1, 4], 0, 10), [1, 1, 1, 0, 1, 1, 1, 1, 0, 1]);
        assert_eq!(sequence(&[1, 2], 1, 6), [0, 1, 1, 0, 1, 1]);
        assert_eq!(sequence(&[11, 3], 0, 14), [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0]);
        let weights: Vec<u32> = (1..=128).collect();
        let picks = sequence(&weights, 0, 8_256);
        for host in 0..128 {
            assert_eq!(picks.iter().filter(|pick| **pick == host).count() as u32, host + 1);
        }
    }

    #[test]
    fn the_weight_is_read_when_a_turn_is_taken() {
        let (one, slots) = Members::fixture(&[1_000, 2_000]);
        let (other, _) = Members::fixture(&[2_000, 1_000]);
        let mut schedule = Schedule::build(0.0, &slots, &one, 0);
        let mut run = |members: &Members, count: usize| -> Vec<u32> {
            let candidates = Candidates { slots: &slots, members, excluded: Excluded(&[]), now: 0, log: None };
            (0..count).map(|_| schedule.pick(&candidates).unwrap()).collect()
        };
        assert_eq!(run(&one, 6), [1, 0, 1, 1, 0, 1]);
        assert_eq!(run(&other, 8), [1, 0, 1, 0, 0, 1, 0, 0]);
    }

    /// Envoy's WeightedLeastRequest tests.
    #[test]
    fn the_load_lowers_the_weight() {
        let (mut members, slots) = Members::fixture(&[1_000, 2_000]);
        let run = |members: &Members, schedule: &mut Schedule, count: usize| -> Vec<u32> {
            let candidates = Candidates { slots: &slots, members, excluded: Excluded(&[]), now: 0, log: None };
            (0..count).map(|_| schedule.pick(&candidates).unwrap()).collect()
        };
        let mut schedule = Schedule::build(1.0, &slots, &members, 0);
        assert_eq!(run(&members, &mut schedule, 6), [1, 0, 1, 1, 0, 1]);
        members.begin(1, 0);
        assert_eq!(run(&members, &mut schedule, 5), [1, 0, 1, 0, 1]);
        let mut plain = Schedule::build(0.0, &slots, &members, 0);
        assert_eq!(run(&members, &mut plain, 6), [1, 0, 1, 1, 0, 1]);
    }

    #[test]
    fn a_change_of_the_pool_keeps_the_turns() {
        let (mut members, slots) = Members::fixture(&thousandths(&[1; 5]));
        let mut picks = vec![];
        for _ in 0..10 {
            let mut schedule = Schedule::build(0.0, &slots, &members, 0);
            let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
            picks.push(schedule.pick(&candidates).unwrap());
            schedule.park(&slots, &mut members);
        }
        picks.sort_unstable();
        assert_eq!(picks, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn those_passed_over_are_next() {
        let (members, slots) = Members::fixture(&thousandths(&[1; 3]));
        let mut schedule = Schedule::build(0.0, &slots, &members, 0);
        let first = [members.handle(0).unwrap()];
        let excluding = Candidates { slots: &slots, members: &members, excluded: Excluded(&first), now: 0, log: None };
        assert_eq!([schedule.pick(&excluding), schedule.pick(&excluding)], [Some(1), Some(2)]);
        let open = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        assert_eq!(schedule.pick(&open), Some(0));
        // Two million turns later the weights still hold.
        let (members, slots) = Members::fixture(&thousandths(&[1, 2]));
        let mut schedule = Schedule::build(0.0, &slots, &members, 0);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        let ones = (0..6_000_000).filter(|_| schedule.pick(&candidates) == Some(1)).count();
        assert!((3_999_998..=4_000_002).contains(&ones), "{ones}");
        // However light they are, the deadlines stay near.
        let (members, slots) = Members::fixture(&[1, 2]);
        let mut schedule = Schedule::build(0.0, &slots, &members, 0);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        assert!((0..10_000).all(|_| schedule.pick(&candidates).is_some() && schedule.now <= FAR));
    }
}
