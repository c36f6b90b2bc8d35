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
        self.fresh = self.fresh.wrapping_sub(1);
        if self.fresh < FRESH {
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
