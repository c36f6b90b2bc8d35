//! `random`: in proportion to the weights, by Walker's alias method as Vose builds it.
//!
//! Every candidate has a column of equal height. A light one fills its column in part and the rest belongs to a
//! heavy one, its alias. A pick draws 64 bits: the upper half says the column (multiply-shift), the lower half
//! whether it is the column's own or its alias. The heights are exact integers rounded once to 32 bits, so a
//! share is off by less than 2^-32 of a column.
//!
//! With equal weights every column is full, so the same draw picks the same candidate without a table.

use alloc::vec::Vec;

use super::Candidates;
use crate::balance::filter::TRIES;
use crate::balance::members::Members;
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Table {
    /// Threshold in the upper half, the alias' place in the lower; empty when the weights are equal.
    columns: Vec<u64>,
}

impl Table {
    pub(super) fn build(slots: &[u32], members: &Members) -> Self {
        if members.are_even(slots) {
            return Self { columns: Vec::new() };
        }
        let weights: Vec<u64> = slots.iter().map(|slot| u64::from(members.weight(*slot))).collect();
        Self { columns: columns(&weights) }
    }

    #[inline]
    pub(super) fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        if candidates.excluded.is_empty() {
            return self.draw(candidates.slots, rng);
        }
        self.pick_open(candidates, rng)
    }

    #[inline(always)]
    pub(super) fn draw(&self, slots: &[u32], rng: &mut Rng) -> Option<u32> {
        let bits = rng.next_u64();
        // Both factors are below 2^32.
        let place = ((bits >> 32).wrapping_mul(slots.len() as u64) >> 32) as u32;
        let Some(column) = self.columns.get(place as usize).copied() else {
            return slots.get(place as usize).copied();
        };
        let own = bits as u32 <= (column >> 32) as u32;
        slots.get(core::hint::select_unpredictable(own, place, column as u32) as usize).copied()
    }

    #[cold]
    #[inline(never)]
    fn pick_open(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        for _ in 0..TRIES {
            let slot = self.draw(candidates.slots, rng)?;
            if candidates.is_open(slot) {
                return Some(slot);
            }
        }
        // At most 2^32 weights below 2^26 each.
        let weight = |slot: u32| u64::from(candidates.members.weight(slot));
        let total = candidates.open().fold(0u64, |sum, slot| sum.wrapping_add(weight(slot)));
        let mut left = rng.below_u64(total);
        candidates.open().find(|slot| match left.checked_sub(weight(*slot)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }
}

/// Vose's construction in integers: a column is as high as the sum of the weights, and candidate `i` brings
/// `n * weight[i]` to fill columns with. The places wait on two stacks, which the vectors' generator pops alike.
fn columns(weights: &[u64]) -> Vec<u64> {
    // Weights are below 2^26 and their number below 2^32, so every amount stays below 2^58.
    let total = weights.iter().fold(0u64, |sum, weight| sum.wrapping_add(*weight)).max(1);
    let count = weights.len() as u64;
    let mut amounts: Vec<u64> = weights.iter().map(|weight| weight.wrapping_mul(count)).collect();
    let full = |place: u32| u64::from(u32::MAX) << 32 | u64::from(place);
    let mut columns: Vec<u64> = (0u32..).zip(weights).map(|(place, _)| full(place)).collect();
    let (mut light, mut heavy) = (Vec::new(), Vec::new());
    for (place, amount) in (0u32..).zip(&amounts) {
        if *amount < total { light.push(place) } else { heavy.push(place) }
    }
    while let (Some(low), Some(high)) = (light.pop(), heavy.pop()) {
        let amount = amounts.get(low as usize).copied().unwrap_or_default();
        if let Some(column) = columns.get_mut(low as usize) {
            // The coin is below the amount's share with `coin <= threshold`; an amount is positive and below the total.
            let share = (u128::from(amount) << 32).checked_div(u128::from(total)).unwrap_or_default();
            *column = (share as u64).saturating_sub(1) << 32 | u64::from(high);
        }
        if let Some(rest) = amounts.get_mut(high as usize) {
            *rest = rest.wrapping_sub(total.wrapping_sub(amount));
            if *rest < total { light.push(high) } else { heavy.push(high) }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// What each place gets, in 2^-32 of a column, from the finished table.
    fn shares(columns: &[u64]) -> Vec<u64> {
        let mut shares = vec![0; columns.len()];
        for (place, column) in columns.iter().enumerate() {
            let own = (column >> 32) + 1;
            shares[place] += own;
            shares[*column as u32 as usize] += (1 << 32) - own;
        }
        shares
    }

    #[test]
    fn the_table_holds_the_weights() {
        let mut rng = Rng::new(11);
        for count in [2usize, 3, 10, 100, 5_000] {
            let weights: Vec<u64> = (0..count).map(|_| u64::from(rng.below(65_535_000)) + 1).collect();
            let total: u64 = weights.iter().sum();
            for (share, weight) in shares(&columns(&weights)).iter().zip(&weights) {
                let exact = *weight as f64 * count as f64 / total as f64 * 4_294_967_296.0;
                // One rounding for each column that has it as its alias.
                assert!((*share as f64 - exact).abs() <= count as f64 + 1.0, "{share} {exact}");
            }
        }
    }

    #[test]
    fn the_lightest_beside_the_heaviest_keeps_a_share() {
        let columns = columns(&[1, 65_535_000]);
        let share = shares(&columns)[0] as f64 / 8_589_934_592.0;
        assert!((share * 65_535_001.0 - 1.0).abs() < 0.02, "{share}");
    }
}
