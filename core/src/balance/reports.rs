//! Weights that the instances report themselves: gRPC's weighted round robin (A58) and Envoy's client-side weighted round robin.
//!
//! An instance that reports how many requests a second it serves (`qps`), at what utilization and with how many errors weighs
//! `qps / (utilization + eps / qps * penalty)`. Its report counts after a blackout, lest one that has just started be flooded,
//! and until it expires. Weights are worked out once in an `update`, however many reports came in. One whose report does not
//! count weighs as much as the mean or the median of the others.
//!
//! What is other than in gRPC and Envoy: an instance's own weight is multiplied by the reported one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::outcome::Load;
use super::settings::{Settings, spell, time, word};
use crate::error::{Code, Error};
use crate::limits;
use crate::time::micros;
use crate::value::Value;

/// Weights by reports of load. It is of use with policies that go by the weights alone; outcomes carry the reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reports {
    /// For how long reports must have come before they count: at most 1 h, default 10 s.
    pub blackout: Duration,
    /// When the last report is too old: 1 ms to 1 h, default 180 s.
    pub expiration: Duration,
    /// How often the weights are worked out: 100 ms to 1 h, default 1 s.
    pub update: Duration,
    /// What a share of errors adds to the utilization, 0 to 1000, default 1.
    pub penalty: f64,
    /// What an instance weighs whose report does not count; default the mean.
    pub unknown: Silent,
}

/// What an instance weighs whose report does not count, of the weights of those whose does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// `mean`: as in gRPC.
    Mean,
    /// `median`: as in Envoy; of an even number the mean of the two in the middle.
    Median,
}

const SILENT: &[(&str, Silent)] = &[("mean", Silent::Mean), ("median", Silent::Median)];
/// The shortest update, microseconds.
const UPDATE_MIN: u64 = 100_000;
/// The heaviest is made this much heavier than its own weight, as far as weights go: so a share is off by less than 1 in 65 535,
/// as in gRPC.
pub(super) const FINE: f64 = 65.535;

impl Default for Reports {
    fn default() -> Self {
        Self {
            blackout: Duration::from_secs(10),
            expiration: Duration::from_secs(180),
            update: Duration::from_secs(1),
            penalty: 1.0,
            unknown: Silent::Mean,
        }
    }
}

impl Reports {
    /// Reads `{blackout?, expiration?, update?, penalty?, unknown?}`; times are in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidDuration`], [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["blackout", "expiration", "update", "penalty", "unknown"])?;
        let default = Self::default();
        let update = settings.time("update", default.update)?;
        if micros(update) < UPDATE_MIN {
            return Err(Error::new(Code::InvalidArgument, "update").message("at least 0.1"));
        }
        Ok(Self {
            blackout: settings.time("blackout", default.blackout)?,
            expiration: settings.span("expiration", default.expiration)?,
            update,
            penalty: settings.number("penalty", default.penalty, 0.0, 1_000.0)?,
            unknown: word(SILENT, &settings, "unknown", default.unknown)?,
        })
    }

    /// Writes what [`Reports::from_value`] reads.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("blackout", time(self.blackout)),
            ("expiration", time(self.expiration)),
            ("update", time(self.update)),
            ("penalty", self.penalty.into()),
            ("unknown", spell(SILENT, &self.unknown).into()),
        ])
    }

    /// The weight that a report gives; none when it says too little.
    fn weight(&self, load: &Load) -> Option<f64> {
        let utilization = if load.utilization > 0.0 { load.utilization } else { load.cpu };
        let weight = load.qps / (utilization + load.eps / load.qps * self.penalty);
        (utilization > 0.0 && load.qps > 0.0 && weight > 0.0 && weight.is_finite()).then_some(weight)
    }
}

/// What the instances reported.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    settings: Reports,
    /// By slot.
    rows: BTreeMap<u32, Row>,
    /// When the weights are worked out next, microseconds.
    wake: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    weight: f64,
    /// Since when reports come, and when the last one did.
    since: u64,
    last: u64,
}

impl Weights {
    pub(super) fn new(settings: Reports) -> Self {
        Self { settings, rows: BTreeMap::new(), wake: u64::MAX }
    }

    pub(super) fn wake(&self) -> u64 {
        self.wake
    }

    /// Takes a report.
    pub(super) fn learn(&mut self, slot: u32, load: &Load, now: u64) {
        let Some(weight) = self.settings.weight(load) else { return };
        let expiration = micros(self.settings.expiration);
        let old = self.rows.get(&slot).filter(|row| now.saturating_sub(row.last) < expiration);
        self.rows.insert(slot, Row { weight, since: old.map_or(now, |row| row.since), last: now });
        if self.wake == u64::MAX {
            self.wake = now.saturating_add(micros(self.settings.update));
        }
    }

    /// An instance has left.
    pub(super) fn forget(&mut self, slot: u32) {
        self.rows.remove(&slot);
    }

    /// Somebody came or went: the weights are worked out at once, if there are any.
    pub(super) fn hurry(&mut self) {
        if !self.rows.is_empty() {
            self.wake = 0;
        }
    }

    /// The factors of slots with their own weights, which are above 0; the largest is `scale`, as far as weights go.
    pub(super) fn factors(&mut self, slots: &[(u32, u32)], scale: f64, now: u64) -> Vec<(u32, f64)> {
        let Reports { blackout, expiration, update, unknown, .. } = self.settings;
        self.rows.retain(|_, row| now.saturating_sub(row.last) < micros(expiration));
        self.wake = if self.rows.is_empty() { u64::MAX } else { now.saturating_add(micros(update)) };
        let weight = |(slot, _): &(u32, u32)| {
            let row = self.rows.get(slot).filter(|row| now.saturating_sub(row.since) >= micros(blackout));
            row.map(|row| row.weight)
        };
        let mut known: Vec<f64> = slots.iter().filter_map(weight).collect();
        known.sort_unstable_by(f64::total_cmp);
        let Some(top) = known.last().copied() else { return slots.iter().map(|(slot, _)| (*slot, 1.0)).collect() };
        let silent = match unknown {
            // Each is at most the heaviest, so the sum of their shares is finite.
            Silent::Mean => known.iter().map(|weight| weight / top).sum::<f64>() / known.len() as f64,
            Silent::Median => {
                let at = |place: usize| known.get(place).map_or(1.0, |weight| weight / top);
                (at(known.len().saturating_sub(1) / 2) + at(known.len() / 2)) / 2.0
            }
        };
        let heaviest = slots.iter().map(|(_, own)| *own).max().unwrap_or_default().max(1);
        let room = f64::from(limits::WEIGHT_THOUSANDTHS) / f64::from(heaviest);
        let scale = if room < scale { room } else { scale };
        slots.iter().map(|slot| (slot.0, scale * weight(slot).map_or(silent, |weight| weight / top))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn load(qps: f64, utilization: f64, eps: f64) -> Load {
        Load { qps, utilization, eps, ..Load::default() }
    }

    /// gRPC Java, WeightedRoundRobinLoadBalancerTest; Envoy, client_side_weighted_round_robin_lb_test.cc.
    #[test]
    #[allow(clippy::approx_constant, reason = "it is a published rate of errors")]
    fn the_published_weights() {
        let one = Reports::default();
        for (qps, utilization, eps, weight) in [
            (22.0, 0.12, 19.7, 21.665_174_574_753_806),
            (40.0, 0.28, 0.998, 131.169_044_105_591_07),
            (100.0, 0.86, 3.141_59, 112.181_081_804_800_67),
        ] {
            let got = one.weight(&load(qps, utilization, eps)).unwrap();
            assert!((got / weight - 1.0).abs() < 1e-14, "{got}");
        }
        assert_eq!(Reports { penalty: 0.0, ..one }.weight(&load(1_000.0, 0.5, 0.0)), Some(2_000.0));
        assert_eq!(Reports { penalty: 2.0, ..one }.weight(&load(1_000.0, 0.5, 100.0)).map(f64::floor), Some(1_428.0));
        assert_eq!(one.weight(&Load { cpu: 0.5, qps: 10.0, ..Load::default() }), Some(20.0));
        for none in [load(0.0, 0.5, 1.0), load(10.0, 0.0, 1.0), load(f64::MAX, f64::MIN_POSITIVE, 0.0)] {
            assert_eq!(one.weight(&none), None);
        }
    }

    #[test]
    fn reports_count_after_the_blackout_and_until_they_expire() {
        let mut weights = Weights::new(Reports::default());
        let slots = [(0, 1_000), (1, 1_000), (2, 1_000)];
        assert_eq!(weights.factors(&slots, FINE, 0), [(0, 1.0), (1, 1.0), (2, 1.0)]);
        weights.learn(0, &load(10.0, 0.5, 0.0), 0);
        weights.learn(1, &load(10.0, 1.0, 0.0), 0);
        assert_eq!((weights.wake(), weights.factors(&slots, FINE, 10 * SECOND - 1)), (SECOND, vec_of([1.0; 3])));
        assert_eq!(weights.factors(&slots, FINE, 10 * SECOND), vec_of([65.535, 65.535 / 2.0, 65.535 * 0.75]));
        assert_eq!(weights.factors(&slots, FINE, 180 * SECOND - 1)[1], (1, 65.535 / 2.0));
        // The blackout starts anew after it expired.
        weights.learn(0, &load(10.0, 0.5, 0.0), 180 * SECOND);
        assert_eq!(weights.factors(&slots, FINE, 189 * SECOND), vec_of([1.0; 3]));
        assert_eq!(weights.factors(&slots, FINE, 360 * SECOND), vec_of([1.0; 3]));
        assert_eq!(weights.wake(), u64::MAX);
    }

    fn vec_of(factors: [f64; 3]) -> Vec<(u32, f64)> {
        (0..).zip(factors).collect()
    }

    #[test]
    fn the_heaviest_stays_within_the_limit() {
        let mut weights = Weights::new(Reports { blackout: Duration::ZERO, unknown: Silent::Median, ..Reports::default() });
        weights.learn(0, &load(1e300, 1e-5, 0.0), 0);
        weights.learn(1, &load(1.0, 1.0, 0.0), 0);
        let factors = weights.factors(&[(0, limits::WEIGHT_THOUSANDTHS), (1, 1), (2, 1)], FINE, 0);
        assert_eq!((factors[0], factors[2]), ((0, 1.0), (2, 0.5)));
    }

    #[test]
    fn settings_round_trip() {
        let other = Reports { penalty: 0.0, unknown: Silent::Median, blackout: Duration::ZERO, ..Reports::default() };
        for settings in [Reports::default(), other] {
            assert_eq!(Reports::from_value(&settings.to_value()), Ok(settings));
        }
        for (name, value) in
            [("update", Value::from(0.01)), ("expiration", 3_601.0.into()), ("penalty", (-1.0).into()), ("unknown", "x".into())]
        {
            assert_eq!(Reports::from_value(&Value::map([(name, value)])).unwrap_err().field(), name);
        }
    }
}
