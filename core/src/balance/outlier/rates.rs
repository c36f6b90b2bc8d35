//! Who stands out among peers: the comparisons, as functions of numbers.

use alloc::vec::Vec;

use super::config::{Failures, Slowness, SuccessRate};
use crate::time::micros;

/// Calls of one instance in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) good: u32,
    pub(super) bad: u32,
}

impl Calls {
    fn total(self) -> u32 {
        self.good.saturating_add(self.bad)
    }

    /// In percent.
    fn success(self) -> f64 {
        100.0 * f64::from(self.good) / f64::from(self.total())
    }
}

/// Those with enough calls, unless they are too few.
fn judged<T: Copy>(all: &[(u32, T)], hosts: u32, is_enough: impl Fn(T) -> bool) -> Vec<(u32, T)> {
    let enough: Vec<(u32, T)> = all.iter().copied().filter(|(_, one)| is_enough(*one)).collect();
    if enough.len() < hosts as usize { Vec::new() } else { enough }
}

/// Those whose success rate is below the mean by more than some standard deviations.
pub(super) fn by_success_rate(rule: &SuccessRate, all: &[(u32, Calls)]) -> Vec<u32> {
    let judged = judged(all, rule.hosts, |calls| calls.total() >= rule.volume);
    if judged.is_empty() {
        return Vec::new();
    }
    let rates: Vec<(u32, f64)> = judged.iter().map(|(slot, calls)| (*slot, calls.success())).collect();
    let threshold = threshold(rates.iter().map(|(_, rate)| *rate), rule.factor);
    rates.iter().filter(|(_, rate)| *rate < threshold).map(|(slot, _)| *slot).collect()
}

/// The mean less so many standard deviations of the population.
fn threshold(rates: impl Iterator<Item = f64> + Clone, factor: f64) -> f64 {
    let count = rates.clone().count() as f64;
    let mean = rates.clone().fold(0.0, |sum, rate| sum + rate) / count;
    let variance = rates.fold(0.0, |sum, rate| sum + (rate - mean) * (rate - mean)) / count;
    mean - factor * libm::sqrt(variance)
}

/// Those whose share of failures reaches the threshold.
pub(super) fn by_failures(rule: &Failures, all: &[(u32, Calls)]) -> Vec<u32> {
    let threshold = f64::from(rule.threshold);
    let is_bad = |calls: Calls| {
        let failed = 100.0 - calls.success();
        if rule.above { failed > threshold } else { failed >= threshold }
    };
    let judged = judged(all, rule.hosts, |calls: Calls| calls.total() >= rule.volume);
    judged.iter().filter(|(_, calls)| is_bad(*calls)).map(|(slot, _)| *slot).collect()
}

/// Those whose median latency is far above the others', and the latency up to which one counts as well again. The medians
/// are of instances with enough calls, in microseconds.
pub(super) fn by_latency(rule: &Slowness, medians: &[(u32, u64)]) -> (Vec<u32>, u64) {
    let mut sorted: Vec<u64> = medians.iter().map(|(_, median)| *median).collect();
    crate::order::sort_few(&mut sorted, &mut u64::cmp);
    // The lower one of two: half of the instances may be slow, and are slow still.
    let middle = sorted.len().saturating_sub(1) / 2;
    let Some(typical) = sorted.get(middle).copied().filter(|_| medians.len() >= rule.hosts.max(2) as usize) else {
        return (Vec::new(), u64::MAX);
    };
    let times = typical as f64 * rule.factor;
    let plus = typical.saturating_add(micros(rule.floor));
    // Both bounds must be crossed; the conversion saturates.
    let bound = plus.max(times as u64);
    (medians.iter().filter(|(_, median)| *median > bound).map(|(slot, _)| *slot).collect(), bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(rows: &[(u32, u32)]) -> Vec<(u32, Calls)> {
        (0..).zip(rows).map(|(slot, (good, bad))| (slot, Calls { good: *good, bad: *bad })).collect()
    }

    /// The numbers of Envoy's outlier_detection_impl_test.cc.
    #[test]
    fn the_threshold_is_1_9_deviations_below_the_mean() {
        assert_eq!(threshold([50.0, 100.0, 100.0, 100.0, 100.0].into_iter(), 1.9), 52.0);
        let rule = SuccessRate::default();
        assert_eq!(by_success_rate(&rule, &calls(&[(200, 0), (200, 0), (200, 0), (200, 0), (200, 200)])), [4]);
        // Too few calls, in one of five.
        assert!(by_success_rate(&rule, &calls(&[(25, 0), (25, 0), (25, 0), (25, 0), (25, 25)])).is_empty());
        assert!(by_success_rate(&rule, &calls(&[(200, 0), (200, 0), (200, 0), (200, 200)])).is_empty());
    }

    #[test]
    fn five_sixths_stay_and_six_sevenths_go() {
        let rows = calls(&[(50, 0), (50, 0), (50, 0), (50, 250), (50, 300)]);
        assert_eq!(by_failures(&Failures::default(), &rows), [4]);
        assert!(by_failures(&Failures { hosts: 6, ..Failures::default() }, &rows).is_empty());
    }

    #[test]
    fn envoy_takes_as_much_as_the_threshold_and_grpc_more() {
        let rows = calls(&[(15, 85), (14, 86)]);
        let envoy = Failures { hosts: 0, ..Failures::default() };
        assert_eq!(by_failures(&envoy, &rows), [0, 1]);
        assert_eq!(by_failures(&Failures { above: true, ..envoy }, &rows), [1]);
    }

    #[test]
    fn three_times_the_median_of_the_peers_is_slow() {
        let rule = Slowness::default();
        let medians = |values: &[u64]| -> Vec<(u32, u64)> { (0..).zip(values.iter().map(|ms| ms * 1_000)).collect() };
        assert_eq!(by_latency(&rule, &medians(&[10, 10, 12, 9, 37])), (Vec::from([4]), 30_000));
        assert!(by_latency(&rule, &medians(&[10, 10, 12, 9, 30])).0.is_empty());
        // Three times little is little.
        assert!(by_latency(&rule, &medians(&[1, 1, 1, 1, 20])).0.is_empty());
        assert_eq!(by_latency(&rule, &medians(&[1, 1, 1, 1, 22])).0, [4]);
        // Half of them slow, the others are the measure; two are too few to say.
        assert_eq!(by_latency(&rule, &medians(&[10, 200, 10, 200])).0, [1, 3]);
        assert!(by_latency(&rule, &medians(&[10, 200])).0.is_empty());
    }
}
