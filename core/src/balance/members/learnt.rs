//! What is known of the members from what became of their calls.

use alloc::vec::Vec;
use core::time::Duration;

use super::{FRESH, Members, PANEL};
use crate::balance::policy::Parked;
use crate::balance::signals::Signal;
use crate::balance::stats::Tally;

impl Members {
    /// How many picks are not finished, of all instances.
    #[inline]
    pub(in crate::balance) fn picks(&self) -> u32 {
        self.begun.wrapping_sub(self.ended)
    }

    /// Whether all of these have one weight.
    pub(in crate::balance) fn are_even(&self, slots: &[u32]) -> bool {
        let mut weights = slots.iter().map(|slot| self.weight(*slot));
        let first = weights.next();
        weights.all(|weight| Some(weight) == first)
    }

    /// The tallies of all that ever were in the view.
    pub(in crate::balance) fn total(&self) -> Tally {
        self.order.iter().fold(self.gone, |sum, slot| sum.plus(self.tally(*slot)))
    }

    /// Keeps the probes while the pool of candidates is rebuilt.
    pub(in crate::balance) fn park_probes(&mut self, probes: Parked) {
        self.probes = probes;
    }

    pub(in crate::balance) fn take_probes(&mut self) -> Parked {
        core::mem::take(&mut self.probes)
    }

    #[inline]
    pub(in crate::balance) fn signal(&self, slot: u32) -> Option<&Signal> {
        self.signals.get(slot as usize)
    }

    /// Forgets what the policy has learnt of an instance that is well again, lest its past keep it idle.
    pub(in crate::balance) fn forgive(&mut self, slot: u32) {
        if let Some(signal) = self.signals.get_mut(slot as usize) {
            self.unknown = self.unknown.saturating_add(u32::from(signal.is_known()));
            signal.forgive();
        }
    }

    /// The average latency that the policy has learnt of an instance.
    pub(in crate::balance) fn expected(&self, slot: u32, now: u64) -> Option<Duration> {
        let latency = self.signal(slot)?.latency(self.rules.as_ref()?, now)?;
        // To the nearest microsecond; the conversion saturates.
        Some(Duration::from_micros((latency + 0.5) as u64))
    }

    /// The average success that the policy has learnt of an instance, from 0 to 1.
    pub(in crate::balance) fn success(&self, slot: u32, now: u64) -> Option<f64> {
        Some(self.signal(slot)?.success(self.rules.as_ref().filter(|rules| rules.exponent > 0)?, now))
    }

    /// The median latency in microseconds, of some instances: what one costs that is not known yet.
    #[inline]
    pub(in crate::balance) fn typical(&self) -> f64 {
        self.typical
    }

    /// Takes the median latency of up to [`PANEL`] instances, evenly spread over the order.
    #[cold]
    #[inline(never)]
    pub(super) fn compare_latencies(&mut self, now: u64) {
        if let Some(left) = self.fresh.checked_sub(1) {
            self.fresh = left;
            return;
        }
        self.fresh = FRESH;
        let Some(rules) = &self.rules else { return };
        let known = |slot: &u32| self.signal(*slot)?.latency(rules, now);
        let stride = self.order.len().div_ceil(PANEL).max(1);
        let mut panel: Vec<f64> = self.order.iter().step_by(stride).filter_map(known).collect();
        let middle = panel.len() / 2;
        if middle < panel.len() {
            self.typical = *panel.select_nth_unstable_by(middle, f64::total_cmp).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Cost;
    use crate::balance::outcome::{Ending, OutcomeKind};
    use crate::rng::Rng;

    fn learning(count: u32) -> Members {
        let mut members = Members::new(Some(Cost::default().rules()));
        (0..count).for_each(|index| _ = members.seat_one(index, 1_000));
        members
    }

    fn call(members: &mut Members, slot: u32, millis: u64) {
        members.begin(slot, 0);
        members.end(slot, 0, Some(Ending::new(OutcomeKind::Success, Some(Duration::from_millis(millis)))), 0);
    }

    #[test]
    fn the_median_is_taken_at_the_first_call_and_again_after_64() {
        let mut members = learning(2);
        call(&mut members, 0, 1);
        for millis in 2..=65 {
            call(&mut members, 0, millis);
            assert_eq!(members.typical(), 1_000.0, "{millis}");
        }
        // One call that took longer is believed at once.
        call(&mut members, 0, 66);
        assert_eq!(members.typical(), 66_000.0);
    }

    #[test]
    fn whoever_is_not_timed_is_counted() {
        let mut members = learning(8);
        let mut rng = Rng::new(3);
        for step in 0..1_000 {
            let slot = rng.below(8);
            match rng.below(4) {
                0 => members.forgive(slot),
                1 => {
                    members.remove(slot);
                    members.sweep();
                    assert_eq!(members.seat_one(slot, 1_000), slot);
                }
                _ => call(&mut members, slot, 1),
            }
            let unknown = members.signals.iter().filter(|signal| !signal.is_known()).count();
            assert_eq!(members.unknown as usize, unknown, "{step}");
        }
    }
}
