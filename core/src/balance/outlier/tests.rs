//! The published cases, and callboard's own rules.

use super::*;
use core::time::Duration;
use std::vec;

const SECOND: u64 = 1_000_000;

/// A detector with so many slots in the view.
fn detector(settings: Outliers, slots: u32) -> Detector {
    let mut detector = Detector::new(settings, Rng::new(1));
    (0..slots).for_each(|slot| detector.enter(slot, true));
    detector
}

impl Detector {
    fn say(&mut self, slot: u32, kind: OutcomeKind, times: u32, now: u64) -> &mut Self {
        for _ in 0..times {
            self.learn(slot, &Outcome::of(kind), 1_000, now, now);
        }
        self
    }

    fn moved(&mut self) -> Vec<(u32, bool)> {
        self.take_moves()
    }
}

use OutcomeKind::{Connect, Error, Gateway, Success, Throttled, Timeout};

/// Envoy outlier_detection_impl_test.cc: a success resets the count.
#[test]
fn five_errors_in_a_row() {
    let mut detector = detector(Outliers::default(), 4);
    detector.say(0, Error, 1, 0).say(0, Success, 1, 0).say(0, Error, 4, 0);
    assert_eq!(detector.moved(), []);
    assert_eq!(detector.say(0, Error, 1, 0).moved(), [(0, true)]);
    // It is out already, and no call that began before changes that.
    detector.compare(SECOND);
    detector.learn(0, &Outcome::default(), 1_000, 0, SECOND);
    assert_eq!(detector.moved(), []);
}

/// Envoy: an error that is no gateway failure resets the count of those, and the other way round it does not.
#[test]
fn five_gateway_failures_in_a_row() {
    let settings = Outliers {
        errors: Some(Streak { count: 5, enforcing: 0 }),
        gateway: Some(Streak { count: 5, enforcing: 100 }),
        ..Outliers::default()
    };
    let mut detector = detector(settings, 4);
    detector.say(0, Gateway, 1, 0).say(0, Error, 1, 0).say(0, Gateway, 4, 0);
    assert_eq!(detector.moved(), []);
    assert_eq!(detector.say(0, Gateway, 1, 0).moved(), [(0, true)]);
}

#[test]
fn failures_on_this_side_count_apart_when_split() {
    let mut together = detector(Outliers::default(), 4);
    assert_eq!(together.say(0, Connect, 3, 0).say(0, Error, 2, 0).moved(), [(0, true)]);
    let mut split = detector(Outliers { split: true, ..Outliers::default() }, 4);
    assert_eq!(split.say(0, Connect, 4, 0).say(0, Error, 4, 0).say(0, Timeout, 4, 0).moved(), []);
    assert_eq!(split.say(0, Timeout, 1, 0).moved(), [(0, true)]);
    let mut spared = detector(Outliers::default(), 4);
    assert_eq!(spared.say(0, Throttled, 50, 0).moved(), []);
}

/// Envoy's test of the growing and shrinking time, with 10 s for both the base and the interval.
#[test]
fn the_time_out_grows_and_shrinks() {
    let recovery = Recovery::Fixed { base: Duration::from_secs(10), most: Duration::from_secs(300), jitter: Duration::ZERO };
    let mut detector = detector(Outliers { recovery, success_rate: None, ..Outliers::default() }, 4);
    let (out, back): (&[_], &[_]) = (&[(0, true)], &[(0, false)]);
    detector.say(0, Error, 5, 0);
    assert_eq!(detector.moved(), out);
    for (at, moves, eject) in
        [(10, back, true), (20, &[][..], false), (30, back, true), (40, &[], false), (50, &[], false), (60, back, false)]
    {
        assert_eq!(detector.deadline().is_some(), !detector.out.is_empty());
        detector.compare(at * SECOND);
        assert_eq!(detector.moved(), moves, "{at}");
        if eject {
            assert_eq!(detector.say(0, Error, 5, at * SECOND).moved(), out, "{at}");
        }
    }
    // Two healthy intervals: the next time is as long as the second.
    detector.compare(70 * SECOND);
    detector.compare(80 * SECOND);
    assert_eq!(detector.say(0, Error, 5, 80 * SECOND).moved(), out);
    assert_eq!(detector.deadline(), Some(100 * SECOND));
    detector.compare(90 * SECOND);
    assert_eq!(detector.moved(), []);
    detector.compare(100 * SECOND);
    assert_eq!(detector.moved(), back);
    // Fifty more, made up for at once.
    detector.compare(600 * SECOND);
    assert_eq!(detector.compare_at(), 610 * SECOND);
    detector.compare(610 * SECOND);
    assert_eq!(detector.say(0, Error, 5, 610 * SECOND).moved(), out);
    detector.compare(620 * SECOND);
    assert_eq!(detector.moved(), back);
}

#[test]
fn the_time_out_is_never_longer_than_the_most() {
    let mut detector = detector(Outliers { success_rate: None, ..Outliers::default() }, 10);
    let mut now = 0;
    for times in 1..=20u64 {
        detector.say(0, Error, 5, now).moved();
        let back = detector.deadline().unwrap();
        assert_eq!(back - now, (times * 30).min(300) * SECOND, "{times}");
        now = back;
        detector.compare(now);
        assert_eq!(detector.moved(), [(0, false)]);
    }
}

/// Envoy: with one percent of two hosts, one goes and the other stays.
#[test]
fn the_share_is_compared_before() {
    let mut one = detector(Outliers { most: 1, ..Outliers::default() }, 2);
    assert_eq!(one.say(0, Error, 5, 0).say(1, Error, 50, 0).moved(), [(0, true)]);
    for (always_one, moves) in [(false, vec![]), (true, vec![(0, true)])] {
        let mut none = detector(Outliers { most: 0, always_one, ..Outliers::default() }, 2);
        assert_eq!(none.say(0, Error, 5, 0).say(1, Error, 50, 0).moved(), moves);
    }
}

#[test]
fn rates_are_compared_each_interval() {
    let mut detector = detector(Outliers { errors: None, gateway: None, ..Outliers::default() }, 5);
    for slot in 0..5 {
        detector.say(slot, Success, 200, 0);
    }
    detector.say(4, Error, 200, 0);
    detector.compare(10 * SECOND - 1);
    assert_eq!(detector.moved(), []);
    detector.compare(10 * SECOND);
    assert_eq!(detector.moved(), [(4, true)]);
    // The next interval counts afresh.
    detector.say(3, Error, 99, 11 * SECOND);
    detector.compare(20 * SECOND);
    assert_eq!(detector.moved(), []);
}

#[test]
fn a_percentage_is_enforced_as_often() {
    let settings = Outliers { most: 100, errors: Some(Streak { count: 1, enforcing: 30 }), gateway: None, ..Outliers::default() };
    let mut detector = detector(settings, 10_000);
    for slot in 0..10_000 {
        detector.say(slot, Error, 1, 0);
    }
    let out = detector.moved().len();
    assert!((2_860..3_140).contains(&out), "{out}");
}

#[test]
fn a_slow_one_is_out_until_it_is_as_fast_as_its_peers() {
    let mut detector = detector(Outliers::adaptive(), 5);
    for slot in 0..5 {
        let latency = if slot == 2 { 90_000 } else { 10_000 };
        (0..30).for_each(|_| detector.learn(slot, &Outcome::default(), latency, 0, 0));
    }
    detector.compare(10 * SECOND);
    assert_eq!(detector.moved(), [(2, true)]);
    let mut now = detector.probe_at();
    assert_eq!((now, detector.probe(now, |_| true)), (11 * SECOND, Some(2)));
    detector.learn(2, &Outcome::default(), 90_000, now, now);
    assert_eq!((detector.moved(), detector.probe_at()), (vec![], 13 * SECOND));
    now = 13 * SECOND;
    for _ in 0..3 {
        assert_eq!(detector.probe(now, |_| true), Some(2));
        detector.learn(2, &Outcome::default(), 25_000, now, now);
    }
    assert_eq!((detector.moved(), detector.probe_at()), (vec![(2, false)], u64::MAX));
}

#[test]
fn probes_come_one_at_a_time_and_ever_rarer() {
    let mut detector = detector(Outliers::adaptive(), 10);
    detector.say(7, Timeout, 5, 0);
    let mut probed = vec![];
    for now in (0..20 * SECOND).step_by(10_000) {
        if let Some(slot) = detector.probe(now, |_| true) {
            probed.push(now / SECOND);
            detector.say(slot, Error, 1, now);
        }
    }
    assert_eq!(probed, [1, 3, 7, 11, 15, 19]);
    // One that nobody answers is not the last; nor is one that could not be sent.
    assert_eq!(detector.probe(23 * SECOND, |_| false), None);
    assert_eq!(detector.probe(26 * SECOND, |_| true), None);
    assert_eq!(detector.probe(27 * SECOND, |_| true), Some(7));
    assert_eq!(detector.probe_at(), 31 * SECOND);
    detector.leave(7);
    assert_eq!(detector.probe_at(), u64::MAX);
}

#[test]
fn a_long_silence_is_soon_made_up_for() {
    for settings in [Outliers::default(), Outliers::adaptive()] {
        let mut detector = detector(settings, 10);
        detector.say(0, Error, 5, 0);
        let year = 365 * 24 * 3_600 * SECOND;
        detector.compare(year);
        assert!(detector.compare_at() > year && detector.compare_at() <= year + 10 * SECOND);
    }
}
