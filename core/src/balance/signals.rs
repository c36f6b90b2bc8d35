//! What is learnt of an instance from what became of its calls.

use super::decay::decay;
use super::outcome::{Ending, OutcomeKind};
use super::policy::Rules;

/// The lowest success that counts, so that a cost stays finite.
const WORST: f64 = 1.0 / 128.0;

/// Microseconds as a float. They are below 2^63, and the signed conversion is the one that processors have.
#[inline]
fn float(micros: u64) -> f64 {
    micros.cast_signed() as f64
}

/// What is learnt of one instance. One line of the processor's cache, so that a comparison loads two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Signal {
    /// The average latency in microseconds; negative while none is known.
    latency: f64,
    /// When the average was last moved.
    timed: u64,
    /// The average success, from 0 to 1, at the time `judged`.
    success: f64,
    judged: u64,
    /// When the instance was last given a call; the time it was first seen before that.
    picked: u64,
    /// The sum of the times at which the calls in flight began, wrapping.
    began: u64,
}

impl Signal {
    pub(super) const fn new(now: u64) -> Self {
        Self { latency: -1.0, timed: 0, success: 1.0, judged: 0, picked: now, began: 0 }
    }

    /// Forgets how calls ended and how long they took.
    pub(super) fn forgive(&mut self) {
        *self = Self { picked: self.picked, began: self.began, ..Self::new(0) };
    }

    /// Counts a call that begins.
    #[inline]
    pub(super) fn begin(&mut self, now: u64) {
        self.picked = now;
        self.began = self.began.wrapping_add(now);
    }

    /// Takes a call that began then out of the sum.
    #[inline]
    pub(super) fn end(&mut self, began: u64) {
        self.began = self.began.wrapping_sub(began);
    }

    /// Learns from a call that began then.
    #[inline]
    pub(super) fn learn(&mut self, rules: &Rules, ending: Ending, began: u64, now: u64) {
        if ending.kind == OutcomeKind::Cancelled {
            return;
        }
        let measured = float(ending.latency().unwrap_or_else(|| now.saturating_sub(began)));
        match rules.penalty {
            _ if ending.is_ok() => self.time(rules, measured, now),
            Some(penalty) => self.time(rules, if measured > penalty { measured } else { penalty }, now),
            // A failure that took long says as much of an instance as an answer that did; one that did not says nothing.
            None if measured > self.latency && self.is_known() => self.time(rules, measured, now),
            None => {}
        }
        if rules.exponent > 0 {
            let success = self.success(rules, now);
            let target = if ending.is_ok() { 1.0 } else { 0.0 };
            self.success = success + (target - success) * rules.gain;
            self.judged = now;
        }
    }

    /// Moves the average latency by a sample.
    #[inline]
    fn time(&mut self, rules: &Rules, sample: f64, now: u64) {
        self.latency = if self.latency < 0.0 || (rules.peak && sample > self.latency) {
            sample
        } else {
            sample + (self.latency - sample) * decay(float(now.saturating_sub(self.timed)) * rules.rate)
        };
        self.timed = now;
    }

    /// The average latency now, in microseconds; none while none is known.
    #[inline]
    pub(super) fn latency(&self, rules: &Rules, now: u64) -> Option<f64> {
        if self.latency < 0.0 {
            None
        } else if rules.fade {
            Some(self.latency * decay(float(now.saturating_sub(self.timed)) * rules.rate))
        } else {
            Some(self.latency)
        }
    }

    /// The average success now.
    #[inline]
    pub(super) fn success(&self, rules: &Rules, now: u64) -> f64 {
        // Most instances do not fail, and need no exponential.
        if self.success >= 1.0 {
            return 1.0;
        }
        1.0 - (1.0 - self.success) * decay(float(now.saturating_sub(self.judged)) * rules.recovery)
    }

    /// What the failures make of the cost: a factor from 1.
    #[inline]
    pub(super) fn burden(&self, rules: &Rules, now: u64) -> f64 {
        // So it is of one that never fails, and of all while no score asks for it.
        if self.success >= 1.0 {
            return 1.0;
        }
        let success = self.success(rules, now);
        let inverse = 1.0 / if success > WORST { success } else { WORST };
        (1..rules.exponent).fold(inverse, |product, _| product * inverse)
    }

    /// The ages of the calls in flight, in microseconds and in sum.
    #[inline]
    pub(super) fn ages(&self, in_flight: u32, now: u64) -> f64 {
        // The difference is right although both parts wrap, unless thousands of calls are each a year old; then it is only
        // wrong, not unsafe.
        float(now.wrapping_mul(u64::from(in_flight)).wrapping_sub(self.began))
    }

    /// Whether a call to it has ended whose latency counted.
    #[inline]
    pub(super) fn is_known(&self) -> bool {
        self.latency >= 0.0
    }

    /// Whether it was given no call for `idle` microseconds.
    #[inline]
    pub(super) fn is_idle(&self, idle: u64, now: u64) -> bool {
        now.saturating_sub(self.picked) >= idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Cost;
    use core::time::Duration;

    /// The rule of tower and Finagle as published, with an estimate to start with; times in nanoseconds there.
    #[test]
    fn the_latency_follows_peak_ewma() {
        let rules = Cost { fade: false, ..Cost::default() }.rules();
        let mut signal = Signal::new(0);
        signal.time(&rules, 30_000.0, 0);
        for (at, sample, estimate) in [
            (1, 20_000.0, 29_048.374_180_359_6),
            (2, 200_000.0, 200_000.0),
            (3, 20_000.0, 182_870.735_246_472_7),
            (8, 20_000.0, 118_786.094_496_924_73),
            (18, 20_000.0, 56_341.373_239_037_96),
        ] {
            signal.time(&rules, sample, at * 1_000_000);
            assert!((signal.latency / estimate - 1.0).abs() < 1e-8, "{at}: {} {estimate}", signal.latency);
        }
    }

    #[test]
    fn it_halves_in_tau_times_ln_2_when_it_fades() {
        let rules = Cost { fade: true, ..Cost::default() }.rules();
        let mut signal = Signal::new(0);
        signal.time(&rules, 1_000.0, 0);
        assert!((signal.latency(&rules, 6_931_472).unwrap() - 500.0).abs() < 1e-3);
    }

    #[test]
    fn failures_burden_and_time_relieves() {
        let rules = Cost::default().rules();
        let mut signal = Signal::new(0);
        for _ in 0..200 {
            signal.begin(0);
            signal.end(0);
            signal.learn(&rules, Ending::new(OutcomeKind::Error, None), 0, 0);
        }
        assert!(signal.success(&rules, 0) < 1e-8);
        assert_eq!(signal.burden(&rules, 0), 128.0 * 128.0 * 128.0);
        assert!((signal.success(&rules, 10_000_000) - 0.632).abs() < 1e-3);
        assert_eq!(signal.latency(&rules, 0), None);
        signal.learn(&rules, Ending::new(OutcomeKind::Success, Some(Duration::from_millis(1))), 0, 0);
        assert_eq!(signal.latency(&rules, 0), Some(1_000.0));
    }

    #[test]
    fn calls_that_hang_show() {
        let mut signal = Signal::new(0);
        signal.begin(1_000);
        signal.begin(3_000);
        assert_eq!(signal.ages(2, 4_000), 4_000.0);
        signal.end(1_000);
        assert_eq!(signal.ages(1, 4_000), 1_000.0);
        assert!(!signal.is_idle(2_000, 4_000) && signal.is_idle(1_000, 4_000));
    }
}
