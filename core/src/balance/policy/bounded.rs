//! Bounded loads: a key goes elsewhere while its owner has more than its share (Mirrokni, Thorup and Zadimoghaddam 2016).
//!
//! As Envoy's `hash_balance_factor` has it: with a factor f in percent the cluster has `((calls in flight + 1) f + 99) / 100`
//! slots, a host of a share p of the weight has `max(1, ceil(slots p))` of them, and is overloaded when it has more calls in
//! flight than slots. A key whose owner is overloaded goes to the first host that is not, in an order that is drawn from
//! its hash: a Fisher-Yates shuffle by the 32-bit Mersenne Twister (Matsumoto and Nishimura 1998). So the overflow of one
//! host spreads over all others, where the next on the ring would bear all of it. When all are overloaded, it goes to the
//! least overloaded. For `rendezvous` the order is that of its scores.

use alloc::vec::Vec;

use super::Candidates;
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Fields, Value};

/// Checks a `load_factor`.
pub(super) fn validate(percent: u32) -> Result<(), Error> {
    match percent {
        1..100 => Err(Error::new(Code::InvalidArgument, "load_factor").message("at least 1, or 0 for no bound")),
        _ if percent > limits::LOAD_PERCENT => {
            Err(Error::too_large("load_factor", u64::from(limits::LOAD_PERCENT)).message("above the limit, in percent"))
        }
        _ => Ok(()),
    }
}

/// Reads a `load_factor`, such as 1.25, to the nearest hundredth.
pub(super) fn from_fields(fields: &Fields<'_>) -> Result<u32, Error> {
    let factor = fields.f64("load_factor")?.unwrap_or_default();
    if factor.is_nan() || factor < 0.0 {
        return Err(fields.error(Code::InvalidArgument, "load_factor").message("at least 1, or 0 for no bound"));
    }
    // The conversion saturates.
    let percent = (factor * 100.0 + 0.5) as u32;
    validate(if percent == 0 && factor > 0.0 { 1 } else { percent })?;
    Ok(percent)
}

pub(super) fn to_value(percent: u32) -> Value {
    (f64::from(percent) / 100.0).into()
}

/// The bound on the loads of a pool's instances.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    percent: u32,
    /// The sum of the weights.
    total: f64,
    /// A permutation of the places that is the identity between picks, and the swaps of one.
    order: Vec<u32>,
    swaps: Vec<(u32, u32)>,
}

impl Bound {
    /// None when there is no bound.
    pub(super) fn new(percent: u32, slots: &[u32], members: &Members) -> Option<Self> {
        let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(u64::from(members.weight(*slot))));
        let bound = Self { percent, total: total.max(1) as f64, order: (0..slots.len() as u32).collect(), swaps: Vec::new() };
        (percent > 0).then_some(bound)
    }

    pub(super) fn percent(&self) -> u32 {
        self.percent
    }

    /// A host's load in parts of its slots; overloaded above 1.
    pub(super) fn factor(&self, slot: u32, members: &Members) -> f64 {
        let share = f64::from(members.weight(slot)) / self.total;
        let slots = slots(members.picks(), self.percent, share);
        f64::from(members.in_flight(slot).unwrap_or_default()) / slots
    }

    /// Who gets a call that belongs to `first`, which is one of those that the request leaves.
    pub(super) fn choose(&mut self, first: u32, hash: u64, candidates: &Candidates<'_>) -> u32 {
        let mut best = (self.factor(first, candidates.members), first);
        if best.0 <= 1.0 {
            return first;
        }
        let mut twister = Twister::new(hash as u32);
        let count = candidates.len();
        for place in 0..count {
            let other = place.wrapping_add(twister.below(count.wrapping_sub(place)));
            self.order.swap(place as usize, other as usize);
            self.swaps.push((place, other));
            let slot = self.order.get(place as usize).and_then(|place| candidates.slot(*place));
            let Some(slot) = slot.filter(|slot| *slot != first && candidates.is_open(*slot)) else { continue };
            let factor = self.factor(slot, candidates.members);
            if factor < best.0 {
                best = (factor, slot);
            }
            if factor <= 1.0 {
                break;
            }
        }
        while let Some((place, other)) = self.swaps.pop() {
            self.order.swap(place as usize, other as usize);
        }
        best.1
    }
}

/// The slots of a host of this share, when so many calls are in flight in all.
fn slots(in_flight: u32, percent: u32, share: f64) -> f64 {
    let total = u64::from(in_flight).saturating_add(1).saturating_mul(u64::from(percent)).saturating_add(99) / 100;
    let slots = libm::ceil(total as f64 * share);
    if slots > 1.0 { slots } else { 1.0 }
}

/// MT19937, by the word: what of the state a number needs is made when it is asked for.
struct Twister {
    state: [u32; Self::SIZE],
    at: usize,
}

impl Twister {
    const SIZE: usize = 624;
    const MIDDLE: usize = 397;

    fn new(seed: u32) -> Self {
        let mut state = [0; Self::SIZE];
        let mut last = seed;
        for (number, word) in (0u32..).zip(&mut state) {
            if number > 0 {
                last = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(number);
            }
            *word = last;
        }
        Self { state, at: 0 }
    }

    fn word(&self, at: usize) -> u32 {
        self.state.get(at % Self::SIZE).copied().unwrap_or_default()
    }

    fn next(&mut self) -> u32 {
        let at = self.at;
        // Both sums are below twice the size.
        let joined = self.word(at) & 0x8000_0000 | self.word(at.wrapping_add(1)) & 0x7fff_ffff;
        let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
        let mut word = self.word(at.wrapping_add(Self::MIDDLE)) ^ joined >> 1 ^ twist;
        if let Some(cell) = self.state.get_mut(at) {
            *cell = word;
        }
        self.at = at.wrapping_add(1) % Self::SIZE;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// A number below `bound`, as Envoy draws it: the quotient by a whole part of the range, drawn again when it is too large.
    fn below(&mut self, bound: u32) -> u32 {
        let Some(part) = (1u64 << 32).checked_div(u64::from(bound)) else { return 0 };
        loop {
            // A part is at least 1, and at most one in `bound` draws is too large.
            let number = u64::from(self.next()).checked_div(part).unwrap_or_default();
            if number < u64::from(bound) {
                return number as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_is_the_standards() {
        // ISO C++: the 10 000th number of a default mt19937, which is seeded with 5489.
        let mut twister = Twister::new(5_489);
        assert_eq!((0..10_000).map(|_| twister.next()).last(), Some(4_123_659_995));
    }

    /// Envoy's bounded_load_hlb_test.cc.
    #[test]
    fn shuffles_are_envoys() {
        for (seed, expected) in [(2, &[2, 1, 0, 4, 3][..]), (6, &[4, 0, 2, 3, 1]), (7, &[0, 1, 4, 3, 2]), (0, &[1, 2, 0])] {
            let count = expected.len() as u32;
            let mut twister = Twister::new(seed);
            let mut order: Vec<u32> = (0..count).collect();
            for place in 0..count {
                order.swap(place as usize, (place + twister.below(count - place)) as usize);
            }
            assert_eq!(order, expected, "{seed}");
        }
    }

    /// By the rule of Envoy's thread_aware_lb_impl.cc.
    #[test]
    fn slots_are_envoys() {
        for (in_flight, percent, share, expected) in
            [(0, 150, 0.2, 1.0), (9, 150, 0.1, 2.0), (99, 125, 0.1, 13.0), (99, 100, 0.1, 10.0), (99, 200, 0.01, 2.0)]
        {
            assert_eq!(slots(in_flight, percent, share), expected);
        }
    }
}
