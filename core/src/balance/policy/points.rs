//! A circle of points, each with its owner: what `ring-hash` and `ketama` look keys up in.
//!
//! The points are sorted, as 64-bit words of the upper half of the hash above the owner's slot; the lower halves, which
//! decide only between equal upper ones, lie apart. A list of where each range of hashes begins, with about one point a
//! range, leads a lookup to its place: two or three reads of memory, however many points there are.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// A hash and the slot or place that owns it.
pub(super) type Point = (u64, u32);

/// The most bits of a hash that name a range.
const RANGE_BITS: u32 = 24;
/// Points of a range that are looked at one after the other; in more the search is binary.
const FEW: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    /// The upper half of a point's hash, then its owner.
    heads: Vec<u64>,
    /// The lower half; empty when no hash has one.
    tails: Vec<u32>,
    /// Where each range begins among the heads, and the end.
    starts: Vec<u32>,
    /// A head's range is what remains after so many bits.
    shift: u32,
}

impl Points {
    /// Points of these owners; of equal hashes the first in the list comes first.
    pub(super) fn build(points: &[Point]) -> Self {
        let mut order: Vec<Point> = (0u32..).zip(points).map(|(place, (hash, _))| (*hash, place)).collect();
        order.sort_unstable();
        let owner = |place: u32| points.get(place as usize).map_or(0, |(_, owner)| *owner);
        let mut circle = Self {
            heads: order.iter().map(|(hash, place)| head(*hash, owner(*place))).collect(),
            tails: if has_tails(points) { order.iter().map(|(hash, _)| *hash as u32).collect() } else { Vec::new() },
            ..Self::default()
        };
        circle.index();
        circle
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Notes where each range begins.
    fn index(&mut self) {
        let bits = (self.heads.len().max(2).next_power_of_two().trailing_zeros()).min(RANGE_BITS);
        self.shift = 64u32.saturating_sub(bits);
        self.starts.clear();
        let mut range = 0u64;
        for (place, head) in (0u32..).zip(&self.heads) {
            while range <= head >> self.shift {
                self.starts.push(place);
                range = range.wrapping_add(1);
            }
        }
        self.starts.resize((1usize << bits).saturating_add(1), self.heads.len() as u32);
    }

    /// The place of the first point that is not before the hash; the end when all are.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> usize {
        let range = (hash >> self.shift) as usize;
        let (Some(start), Some(end)) = (self.starts.get(range), self.starts.get(range.wrapping_add(1))) else { return 0 };
        let (mut at, end) = (*start as usize, *end as usize);
        let wanted = hash & !u64::from(u32::MAX);
        let heads = self.heads.get(at..end).unwrap_or_default();
        let passed = if heads.len() > FEW {
            heads.partition_point(|head| *head < wanted)
        } else {
            heads.iter().position(|head| *head >= wanted).unwrap_or(heads.len())
        };
        at = at.wrapping_add(passed);
        self.pass_tails(at, hash)
    }

    /// Passes the points whose upper half is the hash's and whose lower half is before its own.
    #[inline]
    fn pass_tails(&self, mut at: usize, hash: u64) -> usize {
        while let Some(head) = self.heads.get(at)
            && head >> 32 == hash >> 32
            && self.tails.get(at).copied().unwrap_or_default() < hash as u32
        {
            at = at.wrapping_add(1);
        }
        at
    }

    /// Who owns a hash.
    #[inline]
    pub(super) fn owner(&self, hash: u64) -> Option<u32> {
        self.heads.get(self.find(hash)).or_else(|| self.heads.first()).map(|head| *head as u32)
    }

    /// The owners of the points from a hash on, once around.
    pub(super) fn walk(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (before, after) = self.heads.split_at_checked(self.find(hash)).unwrap_or_default();
        after.iter().chain(before).map(|head| *head as u32)
    }

    /// Takes some points out and puts others in. Of equal hashes the owner comes first that `compare` puts first. Costs the
    /// moving of the rest, in blocks.
    pub(super) fn change(
        &mut self,
        gone: &[u64],
        leaves: impl Fn(u32) -> bool,
        mut new: Vec<Point>,
        compare: impl Fn(u32, u32) -> Ordering,
    ) {
        self.take_out(gone, leaves);
        new.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| compare(one.1, other.1)));
        self.put_in(&new, compare);
        let ranges = self.starts.len().saturating_sub(1);
        if self.heads.len() > ranges.saturating_mul(2) || self.heads.len() < ranges / 4 {
            self.index();
        }
    }

    fn take_out(&mut self, gone: &[u64], leaves: impl Fn(u32) -> bool) {
        let mut places: Vec<usize> = Vec::with_capacity(gone.len());
        for hash in gone {
            let first = self.find(*hash);
            let same = |place: &usize| self.hash(*place) == Some(*hash);
            let owner = |place: &usize| self.heads.get(*place).is_some_and(|head| leaves(*head as u32));
            places.extend((first..self.heads.len()).take_while(same).filter(owner));
        }
        places.sort_unstable();
        places.dedup();
        let ranges: Vec<usize> =
            places.iter().filter_map(|place| self.heads.get(*place)).map(|head| (head >> self.shift) as usize).collect();
        self.move_starts(&ranges, |start, count| start.wrapping_sub(count));
        remove(&mut self.heads, &places);
        remove(&mut self.tails, &places);
    }

    fn put_in(&mut self, new: &[Point], compare: impl Fn(u32, u32) -> Ordering) {
        let place = |point: &Point| {
            let first = self.find(point.0);
            let before = |place: &usize| {
                let owner = self.heads.get(*place).map(|head| *head as u32);
                self.hash(*place) == Some(point.0) && owner.is_some_and(|owner| compare(owner, point.1).is_lt())
            };
            first.saturating_add((first..self.heads.len()).take_while(before).count())
        };
        let places: Vec<usize> = new.iter().map(place).collect();
        let ranges: Vec<usize> = new.iter().map(|(hash, _)| (hash >> self.shift) as usize).collect();
        self.move_starts(&ranges, |start, count| start.wrapping_add(count));
        if self.tails.is_empty() && has_tails(new) {
            self.tails.resize(self.heads.len(), 0);
        }
        if !self.tails.is_empty() {
            insert(&mut self.tails, &places, new.iter().map(|(hash, _)| *hash as u32));
        }
        insert(&mut self.heads, &places, new.iter().map(|(hash, owner)| head(*hash, *owner)));
    }

    /// Counts, for each range, the points of earlier ranges that came or went; theirs are given in order.
    fn move_starts(&mut self, ranges: &[usize], shift: impl Fn(u32, u32) -> u32) {
        let ends = ranges.iter().skip(1).copied().chain([self.starts.len()]);
        for ((count, range), end) in (1u32..).zip(ranges).zip(ends) {
            let from = range.saturating_add(1);
            let to = end.saturating_add(1).min(self.starts.len());
            for start in self.starts.get_mut(from..to).unwrap_or_default() {
                *start = shift(*start, count);
            }
        }
    }

    fn hash(&self, place: usize) -> Option<u64> {
        let head = self.heads.get(place)? & !u64::from(u32::MAX);
        Some(head | self.tails.get(place).map_or(0, |tail| u64::from(*tail)))
    }
}

fn head(hash: u64, owner: u32) -> u64 {
    hash & !u64::from(u32::MAX) | u64::from(owner)
}

fn has_tails(points: &[Point]) -> bool {
    points.iter().any(|(hash, _)| *hash as u32 != 0)
}

/// Takes out what stands at these places, which are in order, in blocks.
fn remove<T: Copy>(list: &mut Vec<T>, places: &[usize]) {
    let (Some(first), false) = (places.first(), list.is_empty()) else { return };
    let mut end = *first;
    let nexts = places.iter().skip(1).copied().chain([list.len()]);
    for (place, next) in places.iter().zip(nexts) {
        let block = place.saturating_add(1)..next;
        let length = block.len();
        list.copy_within(block, end);
        end = end.saturating_add(length);
    }
    list.truncate(end);
}

/// Puts in, before what stands at these places, which are in order; in blocks from the back.
fn insert<T: Copy + Default>(list: &mut Vec<T>, places: &[usize], new: impl DoubleEndedIterator<Item = T>) {
    let mut left = list.len();
    let mut end = left.saturating_add(places.len());
    list.resize(end, T::default());
    for (place, item) in places.iter().zip(vec_of(new, places.len())).rev() {
        let moved = left.saturating_sub(*place);
        end = end.saturating_sub(moved);
        list.copy_within(*place..left, end);
        end = end.saturating_sub(1);
        if let Some(cell) = list.get_mut(end) {
            *cell = item;
        }
        left = *place;
    }
}

fn vec_of<T: Copy + Default>(items: impl Iterator<Item = T>, count: usize) -> Vec<T> {
    let mut list = vec![T::default(); count];
    list.iter_mut().zip(items).for_each(|(cell, item)| *cell = item);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn sorted(points: &[Point]) -> Vec<Point> {
        let mut sorted = points.to_vec();
        sorted.sort_by_key(|point| point.0);
        sorted
    }

    fn check(circle: &Points, points: &[Point], rng: &mut Rng) {
        let sorted = sorted(points);
        assert_eq!(circle.len(), sorted.len());
        let hashes = sorted.iter().flat_map(|(hash, _)| [hash.wrapping_sub(1), *hash, hash.wrapping_add(1)]);
        let random: Vec<u64> = (0..200).map(|_| rng.next_u64()).collect();
        for hash in hashes.chain(random).chain([0, u64::MAX]) {
            let at = sorted.partition_point(|(other, _)| *other < hash);
            let owner = sorted.get(at).or(sorted.first()).map(|point| point.1);
            assert_eq!(circle.owner(hash), owner, "{hash}");
            assert_eq!(circle.walk(hash).next(), owner);
        }
        assert_eq!(circle.walk(rng.next_u64()).count(), sorted.len());
    }

    #[test]
    fn a_lookup_finds_what_a_search_finds() {
        let mut rng = Rng::new(3);
        for count in [0u32, 1, 2, 3, 17, 300] {
            // Full hashes; hashes of 32 bits; hashes that crowd in one range; hashes that share an upper half.
            for mask in [u64::MAX, u64::MAX << 32, u64::MAX >> 20, 0xffff] {
                let points: Vec<Point> = (0..count).map(|owner| (rng.next_u64() & mask, owner)).collect();
                check(&Points::build(&points), &points, &mut rng);
            }
        }
    }

    #[test]
    fn a_change_makes_what_a_build_makes() {
        let mut rng = Rng::new(4);
        for mask in [u64::MAX, u64::MAX << 32, 0x3f << 40, 0xff] {
            let mut points: Vec<Point> = (0..200).map(|at| (rng.next_u64() & mask, at / 10)).collect();
            let mut circle = Points::build(&points);
            for round in 0..60u32 {
                let leaver = rng.below(20);
                let gone: Vec<u64> = points.iter().filter(|point| point.1 == leaver).map(|point| point.0).collect();
                points.retain(|point| point.1 != leaver);
                let new: Vec<Point> = (0..rng.below(30)).map(|_| (rng.next_u64() & mask, leaver)).collect();
                points.extend(&new);
                // The owners' own order decides between equals.
                points.sort_by_key(|point| point.1);
                circle.change(&gone, |owner| owner == leaver, new, |one, other| one.cmp(&other));
                let built = Points::build(&points);
                assert_eq!(circle.heads, built.heads, "{round}");
                check(&circle, &points, &mut rng);
            }
        }
    }
}
