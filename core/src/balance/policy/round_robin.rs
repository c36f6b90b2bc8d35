//! `round-robin`: nginx's smooth weighted round robin, pick for pick.
//!
//! nginx keeps a current weight for every peer. A pick adds each peer's weight to its current weight, takes the
//! first peer with the highest, and subtracts the sum of the weights from that one. Peers a request was tried on
//! are left out of all three steps. Weights 5, 1, 1 give `a a b a c a a`.
//!
//! nginx looks at every peer for every pick. Here the peers of equal weight form a group: a pick adds the same to
//! all of them, so their order among themselves changes only for the one that is picked, and it is enough to
//! compare the front of each group. A pick costs the number of distinct weights: with equal weights it is O(1),
//! and the sequence is still nginx's, from any state and through any exclusion. A round that is not
//! too long is written down once and then read off ([`Cycle`]), which costs next to nothing.
//!
//! What nginx does not say: weights count in units of their greatest common divisor. A change of the pool keeps
//! the turns of those that stay: current weights are carried over as a fraction of the sum of the weights, and
//! shifted so that a newcomer's 0 is the average; otherwise many small changes would starve newcomers, or those
//! that stay. A pool nobody in has had a turn starts `seed` picks into the sequence (modulo the number of
//! candidates), because clients that all start with the first overwhelm it; seed 0 starts where nginx does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Candidates;
use super::cycle::Cycle;
use crate::balance::members::Members;

/// Steps that the seeded start may take, whatever the number of groups.
const START_STEPS: usize = 1 << 20;
/// A parked turn is a fraction of the sum of the weights in units of 2^-32.
const TURN_BITS: u32 = 32;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Turns {
    groups: Vec<Group>,
    /// The sum of the weights, below 2^58: at most 2^32 of them, each below 2^26.
    total: i64,
    /// The round being written or read, when that pays. While it is read the groups stand at its start.
    cycle: Option<Cycle>,
}

/// Candidates of one weight.
#[derive(Clone, Debug)]
struct Group {
    weight: i64,
    /// What the picks have added so far, wrapping. A current weight is `lift + rest`; it is within a few sums of
    /// the weights, so it is exact though both parts wrap.
    lift: i64,
    /// The highest current weight first, and by place among equals.
    queue: VecDeque<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    rest: i64,
    place: u32,
}

impl Group {
    fn current(&self, turn: Turn) -> i64 {
        self.lift.wrapping_add(turn.rest)
    }

    fn sort(&mut self) {
        let lift = self.lift;
        self.queue.make_contiguous().sort_unstable_by_key(|turn| (lift.wrapping_add(turn.rest).wrapping_neg(), turn.place));
    }

    /// Puts a turn where it belongs: at the back, unless the weights or the pool changed a short while ago.
    #[inline]
    fn insert(&mut self, turn: Turn) {
        let rank = (self.current(turn), turn.place);
        let is_before = |other: &Turn| comes_first(rank, (self.current(*other), other.place));
        match self.queue.back() {
            Some(back) if is_before(back) => {
                let index = self.queue.partition_point(|other| !is_before(other));
                self.queue.insert(index, turn);
            }
            _ => self.queue.push_back(turn),
        }
    }
}

/// Whether a current weight at a place is picked rather than another: the higher, and of equals the first.
fn comes_first(one: (i64, u32), other: (i64, u32)) -> bool {
    one.0 > other.0 || (one.0 == other.0 && one.1 < other.1)
}

impl Turns {
    pub(super) fn build(slots: &[u32], members: &Members, seed: u64) -> Self {
        let divisor = slots.iter().fold(0, |divisor, slot| greatest_common_divisor(divisor, members.weight(*slot))).max(1);
        let weight = |slot: u32| i64::from(members.weight(slot).checked_div(divisor).unwrap_or_default());
        let total = slots.iter().fold(0i64, |sum, slot| sum.wrapping_add(weight(*slot)));

        let kept: Vec<Option<i64>> = slots.iter().map(|slot| members.turn(*slot).map(|turn| scaled(turn, total))).collect();
        let sum = kept.iter().flatten().fold(0i128, |sum, current| sum.wrapping_add(i128::from(*current)));
        let average = sum.checked_div_euclid(kept.iter().flatten().count() as i128).unwrap_or_default() as i64;
        let currents = kept.iter().map(|current| current.map_or(0, |current| current.wrapping_sub(average)));

        let mut order: Vec<(i64, i64, u32)> =
            (0u32..).zip(slots).zip(currents).map(|((place, slot), current)| (weight(*slot), i64::wrapping_neg(current), place)).collect();
        order.sort_unstable();
        let mut groups: Vec<Group> = Vec::new();
        for (weight, negative, place) in order {
            let turn = Turn { rest: negative.wrapping_neg(), place };
            match groups.last_mut() {
                Some(group) if group.weight == weight => group.queue.push_back(turn),
                _ => groups.push(Group { weight, lift: 0, queue: VecDeque::from([turn]) }),
            }
        }

        let mut turns = Self { groups, total, cycle: None };
        if slots.iter().all(|slot| members.turn(*slot).is_none()) {
            let span = slots.len().min(START_STEPS.checked_div(turns.groups.len()).unwrap_or(1)).max(1) as u64;
            for _ in 0..seed.checked_rem(span).unwrap_or_default() {
                turns.step();
            }
        }
        turns.cycle = Cycle::new(total);
        turns
    }

    /// Writes each candidate's turn back to the members.
    pub(super) fn park(&mut self, slots: &[u32], members: &mut Members) {
        self.catch_up();
        for group in &self.groups {
            for turn in &group.queue {
                if let Some(slot) = slots.get(turn.place as usize) {
                    members.set_turn(*slot, fraction(group.current(*turn), self.total));
                }
            }
        }
    }

    #[inline]
    pub(super) fn pick(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        let place = if candidates.excluded.is_empty() { self.take() } else { self.take_open(candidates) };
        place.and_then(|place| candidates.slot(place))
    }

    /// The next of a round that is written down.
    #[inline(always)]
    pub(super) fn read(&mut self, slots: &[u32]) -> Option<u32> {
        let place = self.cycle.as_mut()?.read()?;
        slots.get(place as usize).copied()
    }

    #[inline]
    fn take(&mut self) -> Option<u32> {
        let Some(cycle) = &mut self.cycle else { return self.step() };
        cycle.read().or_else(|| self.write())
    }

    /// A pick that is written down.
    fn write(&mut self) -> Option<u32> {
        let place = self.step()?;
        if let Some(cycle) = &mut self.cycle
            && cycle.write(place)
        {
            // The state is what it was when everyone was picked as often as it weighs.
            let counts = counts(cycle.picks());
            let count = |turn: &Turn| counts.get(turn.place as usize).copied().unwrap_or_default();
            let is_round = self.groups.iter().all(|group| group.queue.iter().all(|turn| count(turn) == group.weight));
            cycle.close(is_round);
        }
        Some(place)
    }

    /// Brings the groups to where reading has come, and forgets the round.
    fn catch_up(&mut self) {
        let Some(cycle) = &mut self.cycle else { return };
        let (read, counts) = cycle.interrupt(|picks| (picks.len() as i64, counts(picks)));
        if read == 0 {
            return;
        }
        for group in &mut self.groups {
            group.lift = group.lift.wrapping_add(group.weight.wrapping_mul(read));
            for turn in &mut group.queue {
                let count = counts.get(turn.place as usize).copied().unwrap_or_default();
                turn.rest = turn.rest.wrapping_sub(self.total.wrapping_mul(count));
            }
            group.sort();
        }
    }

    /// nginx's pick.
    #[inline]
    fn step(&mut self) -> Option<u32> {
        let mut best: Option<(usize, (i64, u32))> = None;
        for (index, group) in self.groups.iter_mut().enumerate() {
            group.lift = group.lift.wrapping_add(group.weight);
            let Some(front) = group.queue.front() else { continue };
            let rank = (group.current(*front), front.place);
            if best.is_none_or(|(_, other)| comes_first(rank, other)) {
                best = Some((index, rank));
            }
        }
        let group = self.groups.get_mut(best?.0)?;
        let mut turn = group.queue.pop_front()?;
        turn.rest = turn.rest.wrapping_sub(self.total);
        group.insert(turn);
        Some(turn.place)
    }

    /// A pick that leaves out the excluded: their current weights stay, and their weights are no part of the sum.
    #[cold]
    #[inline(never)]
    fn take_open(&mut self, candidates: &Candidates<'_>) -> Option<u32> {
        if !candidates.any_open() {
            return None;
        }
        self.catch_up();
        let is_open = |turn: &Turn| candidates.slot(turn.place).is_some_and(|slot| candidates.is_open(slot));
        let mut total = self.total;
        let mut best: Option<(usize, usize, (i64, u32))> = None;
        for (index, group) in self.groups.iter_mut().enumerate() {
            group.lift = group.lift.wrapping_add(group.weight);
            let mut shut = false;
            for turn in group.queue.iter_mut().filter(|turn| !is_open(turn)) {
                turn.rest = turn.rest.wrapping_sub(group.weight);
                total = total.wrapping_sub(group.weight);
                shut = true;
            }
            if shut {
                group.sort();
            }
            let Some(first) = group.queue.iter().position(is_open) else { continue };
            let Some(turn) = group.queue.get(first) else { continue };
            let rank = (group.current(*turn), turn.place);
            if best.is_none_or(|(_, _, other)| comes_first(rank, other)) {
                best = Some((index, first, rank));
            }
        }
        let (index, first, _) = best?;
        let group = self.groups.get_mut(index)?;
        let mut turn = group.queue.remove(first)?;
        turn.rest = turn.rest.wrapping_sub(total);
        group.insert(turn);
        Some(turn.place)
    }
}

/// How often each place was picked.
fn counts(picks: &[u32]) -> Vec<i64> {
    let mut counts = alloc::vec![0i64; picks.iter().max().map_or(0, |last| (*last as usize).saturating_add(1))];
    for place in picks {
        if let Some(count) = counts.get_mut(*place as usize) {
            *count = count.wrapping_add(1);
        }
    }
    counts
}

fn greatest_common_divisor(mut one: u32, mut other: u32) -> u32 {
    while let Some(rest) = one.checked_rem(other) {
        (one, other) = (other, rest);
    }
    one
}

/// A current weight as a fraction of the sum, to the nearest 2^-32.
fn fraction(current: i64, total: i64) -> i64 {
    let total = i128::from(total).max(1);
    let half = total >> 1;
    (i128::from(current) << TURN_BITS).wrapping_add(half).checked_div_euclid(total).unwrap_or_default() as i64
}

/// The inverse of [`fraction`], for another sum.
fn scaled(turn: i64, total: i64) -> i64 {
    let half = 1i128 << TURN_BITS.wrapping_sub(1);
    (i128::from(turn).wrapping_mul(i128::from(total)).wrapping_add(half) >> TURN_BITS) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::filter::Excluded;
    use crate::model::Handle;
    use crate::rng::Rng;
    use std::vec;

    /// nginx, as `ngx_http_upstream_get_peer` has it.
    struct Nginx(Vec<(i64, i64)>);

    impl Nginx {
        fn pick(&mut self, tried: &[usize]) -> usize {
            let (mut best, mut total): (Option<usize>, i64) = (None, 0);
            for index in (0..self.0.len()).filter(|index| !tried.contains(index)) {
                self.0[index].1 += self.0[index].0;
                total += self.0[index].0;
                if best.is_none_or(|best| self.0[index].1 > self.0[best].1) {
                    best = Some(index);
                }
            }
            self.0[best.unwrap()].1 -= total;
            best.unwrap()
        }
    }

    fn sequence(weights: &[u32], seed: u64, count: usize) -> Vec<u32> {
        let (members, slots) = Members::fixture(weights);
        let mut turns = Turns::build(&slots, &members, seed);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        (0..count).map(|_| turns.pick(&candidates).unwrap()).collect()
    }

    #[test]
    fn the_published_sequences() {
        // nginx commit 52327e0627f4 and openresty/lua-resty-balancer t/swrr.t.
        assert_eq!(sequence(&[5_000, 1_000, 1_000], 0, 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(sequence(&[4, 2, 1], 0, 7), [0, 1, 0, 2, 0, 1, 0]);
        assert_eq!(sequence(&[1, 1, 1], 0, 6), [0, 1, 2, 0, 1, 2]);
        let picks = sequence(&[6, 3, 1], 0, 100_000);
        let count = |which| picks.iter().filter(|pick| **pick == which).count();
        assert_eq!([count(0), count(1), count(2)], [60_000, 30_000, 10_000]);
        // The seed moves the start.
        assert_eq!(sequence(&[1, 1, 1], 7, 3), [1, 2, 0]);
        assert_eq!(sequence(&[5_000, 1_000, 1_000], 2, 3), [1, 0, 2]);
    }

    #[test]
    fn every_pick_is_the_one_nginx_makes() {
        let mut rng = Rng::new(1);
        for round in 0..300 {
            let count = 1 + rng.below(12) as usize;
            let kinds = 1 + rng.below(4);
            let weights: Vec<u32> = (0..count).map(|_| 1 + rng.below(kinds) * (1 + rng.below(30))).collect();
            let (members, slots) = Members::fixture(&weights);
            let mut turns = Turns::build(&slots, &members, 0);
            let mut nginx = Nginx(weights.iter().map(|weight| (i64::from(*weight), 0)).collect());
            for _ in 0..200 {
                let tried: Vec<usize> = if rng.below(3) == 0 { (1..count).filter(|_| rng.below(2) == 0).collect() } else { vec![] };
                let handles: Vec<Handle> = tried.iter().map(|index| members.handle(*index as u32).unwrap()).collect();
                let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&handles), now: 0, log: None };
                assert_eq!(turns.pick(&candidates).unwrap() as usize, nginx.pick(&tried), "round {round}: {weights:?}");
            }
        }
    }

    #[test]
    fn a_round_that_is_read_off_is_the_one_nginx_makes() {
        let mut rng = Rng::new(3);
        for round in 0..20 {
            let weights: Vec<u32> = (0..9 + round).map(|_| 1 + rng.below(40)).collect();
            let total: u32 = weights.iter().sum();
            let (mut members, slots) = Members::fixture(&weights);
            let mut turns = Turns::build(&slots, &members, 0);
            let mut nginx = Nginx(weights.iter().map(|weight| (i64::from(*weight), 0)).collect());
            let mut reading = 0;
            for pick in 0..8 * total {
                // Seldom enough that rounds are completed, at any point of them.
                let tried: &[usize] = if rng.below(3 * total) == 0 { &[0, 3, 4] } else { &[] };
                let handles: Vec<Handle> = tried.iter().map(|index| members.handle(*index as u32).unwrap()).collect();
                let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&handles), now: 0, log: None };
                assert_eq!(turns.pick(&candidates).unwrap() as usize, nginx.pick(tried), "round {round}, pick {pick}");
                reading += u32::from(turns.cycle.as_ref().is_some_and(|cycle| cycle.clone().read().is_some()));
            }
            assert!(reading > total, "{reading}");
            // What is parked is where nginx stands.
            turns.park(&slots, &mut members);
            for (slot, (_, current)) in slots.iter().zip(&nginx.0) {
                assert_eq!(scaled(members.turn(*slot).unwrap(), i64::from(total)), *current);
            }
        }
    }

    #[test]
    fn a_turn_survives_parking() {
        let mut rng = Rng::new(2);
        for _ in 0..10_000 {
            let total = 1 + i64::from(rng.below(1 << 31));
            let current = i64::from(rng.below(u32::try_from(total).unwrap())) - total / 2;
            assert_eq!(scaled(fraction(current, total), total), current);
        }
        assert_eq!(scaled(fraction(500, 1_000), 100), 50);
        assert_eq!(scaled(fraction(-500, 1_000), 100), -50);
    }

    #[test]
    fn counters_may_wrap() {
        let (members, slots) = Members::fixture(&[3, 2, 2]);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        let mut plain = Turns::build(&slots, &members, 0);
        let mut wrapping = plain.clone();
        wrapping.cycle = None;
        for group in &mut wrapping.groups {
            group.lift = i64::MAX - 20;
            for turn in &mut group.queue {
                turn.rest = turn.rest.wrapping_sub(i64::MAX - 20);
            }
        }
        for _ in 0..100 {
            assert_eq!(plain.pick(&candidates), wrapping.pick(&candidates));
        }
    }
}
