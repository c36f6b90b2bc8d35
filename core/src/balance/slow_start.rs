//! An instance that is new is given its share little by little.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::settings::{Settings, spell, time, word};
use crate::error::Error;
use crate::time::micros;
use crate::value::Value;

/// A new instance, or one that is well again, has less weight at first. It counts for every policy that honours weights, as a
/// weight that changes 30 times in the window. Instances that come in the
/// first window after nobody was there start with all their weight: a fleet that is new has nobody to spare it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes: 1 ms to 1 h, default 30 s.
    pub window: Duration,
    /// What it starts with, in percent of the weight: 1 to 100, default 10.
    pub min: u32,
    /// How it grows: as the share of the window to the power of 1 / `aggression`, 0.01 to 100, default 1 (steadily). Above 1
    /// fast at first.
    pub aggression: f64,
    /// By whose rule, default Envoy's.
    pub rule: Ramp,
}

/// By whose rule the weight grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ramp {
    /// `envoy`: a factor of max(`min`, (age / `window`)^(1 / `aggression`)).
    Envoy,
    /// `dubbo`: age / (`window` / weight) cut off to a whole number, from 1 to the weight. `min` and `aggression` do not count.
    Dubbo,
}

const RULES: [(&str, Ramp); 2] = [("envoy", Ramp::Envoy), ("dubbo", Ramp::Dubbo)];

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(30), min: 10, aggression: 1.0, rule: Ramp::Envoy }
    }
}

impl SlowStart {
    /// Reads `{window?, min?, aggression?, rule?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::InvalidDuration`](crate::Code::InvalidDuration),
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["window", "min", "aggression", "rule"])?;
        let default = Self::default();
        Ok(Self {
            window: settings.span("window", default.window)?,
            min: settings.count("min", default.min, 1).and_then(|_| settings.percent("min", default.min))?,
            aggression: settings.number("aggression", default.aggression, 0.01, 100.0)?,
            rule: word(&RULES, &settings, "rule", default.rule)?,
        })
    }

    /// Writes `{window, min, aggression, rule}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("window", time(self.window)),
            ("min", u64::from(self.min).into()),
            ("aggression", self.aggression.into()),
            ("rule", spell(&RULES, &self.rule).into()),
        ])
    }

    /// The share of its weight, in thousandths, that an instance has at an age in microseconds.
    pub(super) fn factor(&self, weight: u32, age: u64) -> f64 {
        let window = micros(self.window).max(1);
        if age >= window {
            return 1.0;
        }
        match self.rule {
            Ramp::Envoy => {
                // The age is at least a millisecond.
                let share = age.max(1_000) as f64 / window as f64;
                let grown = if self.aggression == 1.0 { share } else { libm::pow(share, 1.0 / self.aggression) };
                grown.max(f64::from(self.min) / 100.0).min(1.0)
            }
            Ramp::Dubbo => {
                let whole = u64::from(weight / 1_000);
                // As floor(age / (window / weight)), without the quotient's rounding.
                let grown = u128::from(age).saturating_mul(whole.into()).checked_div(window.into()).unwrap_or_default() as u64;
                if whole <= 1 { 1.0 } else { grown.clamp(1, whole) as f64 * 1_000.0 / f64::from(weight) }
            }
        }
    }
}

/// Steps of the window.
const STEPS: u64 = 30;

/// The instances that are new.
#[derive(Clone, Debug)]
pub(super) struct Warmup {
    settings: SlowStart,
    /// When the balancer was first asked after they came, by slot, in microseconds; none until then: whoever changes the
    /// view does not tell the time.
    warming: BTreeMap<u32, Option<u64>>,
    /// The same of the first of all instances.
    born: Option<u64>,
    /// When weights change next.
    wake: u64,
}

impl Warmup {
    pub(super) fn new(settings: SlowStart) -> Self {
        Self { settings, warming: BTreeMap::new(), born: None, wake: u64::MAX }
    }

    pub(super) fn wake(&self) -> u64 {
        self.wake
    }

    /// Nobody is there, so those that come are all new.
    pub(super) fn begin_anew(&mut self) {
        (self.born, self.wake) = (None, 0);
    }

    /// An instance has come, or is well again. Whether it is one of a fleet that is new as a whole is seen when the balancer is asked next: until
    /// then the time it knows may be long past.
    pub(super) fn start(&mut self, slot: u32) {
        if self.born.is_some() {
            self.warming.insert(slot, None);
            self.wake = 0;
        }
    }

    pub(super) fn stop(&mut self, slot: u32) {
        self.warming.remove(&slot);
    }

    /// The factor of a slot whose own weight is this.
    pub(super) fn factor(&self, slot: u32, weight: u32, now: u64) -> f64 {
        let since = self.warming.get(&slot);
        since.map_or(1.0, |since| self.settings.factor(weight, since.map_or(0, |since| now.saturating_sub(since))))
    }

    /// Those whose weights may change now; those that are done are told this once.
    pub(super) fn step_on(&mut self, now: u64) -> Vec<u32> {
        let window = micros(self.settings.window);
        let born = *self.born.get_or_insert(now);
        let slots = self.warming.keys().copied().collect();
        if now.saturating_sub(born) < window {
            self.warming.retain(|_, since| since.is_some());
        }
        self.warming.values_mut().for_each(|since| *since = since.or(Some(now)));
        self.warming.retain(|_, since| since.is_none_or(|since| now.saturating_sub(since) < window));
        let step = (window / STEPS).max(1_000);
        self.wake = if self.warming.is_empty() { u64::MAX } else { now.saturating_add(step) };
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Envoy load_balancer_impl_test.cc: age and window in milliseconds, aggression, least percentage, factor.
    #[test]
    fn envoy_has_the_same_factors() {
        for (age, window, aggression, min, factor) in [
            (12_000, 60_000, 1.0, 10, 0.2),
            (20_000, 60_000, 1.0, 10, 0.333_333_333_333_333_3),
            (5_000, 60_000, 1.0, 10, 0.1),
            (6_000, 60_000, 2.0, 10, 0.316_227_766_016_837_94),
            (26_000, 60_000, 2.0, 10, 0.658_280_588_604_383_3),
            (9_000, 10_000, 1.5, 10, 0.932_169_751_786_157_7),
            (1, 60_000, 2.0, 10, 0.1),
            (0, 60_000, 2.0, 1, 0.01),
            (12_000, 60_000, 1.0, 35, 0.35),
            (30_000, 60_000, 1.0, 35, 0.5),
            (7_000, 10_000, 0.9, 10, 0.672_801_128_325_663_1),
            (8_000, 10_000, 0.9, 10, 0.780_408_889_583_261_3),
            (60_000, 60_000, 1.0, 10, 1.0),
        ] {
            let settings = SlowStart { window: Duration::from_millis(window), min, aggression, ..SlowStart::default() };
            let got = settings.factor(1_000, age * 1_000);
            assert!((got - factor).abs() < 1e-15, "{age} {window} {aggression} {min}: {got}");
        }
    }

    /// Dubbo AbstractLoadBalanceTest: a weight of 100 and ten minutes.
    #[test]
    fn dubbo_has_the_same_weights() {
        let settings = SlowStart { window: Duration::from_secs(600), rule: Ramp::Dubbo, ..SlowStart::default() };
        for (millis, weight) in [(0, 1), (60_000, 10), (120_000, 20), (300_000, 50), (540_000, 90), (600_000, 100)] {
            assert_eq!((settings.factor(100_000, millis * 1_000) * 100.0 + 0.5) as u32, weight, "{millis}");
        }
        // A weight of one or less cannot grow.
        assert_eq!([settings.factor(1_000, 0), settings.factor(500, 0)], [1.0; 2]);
    }

    #[test]
    fn those_that_are_done_are_told_once() {
        let mut warmup = Warmup::new(SlowStart::default());
        warmup.begin_anew();
        warmup.start(7);
        assert_eq!((warmup.wake(), warmup.step_on(5_000_000), warmup.wake()), (0, vec![], u64::MAX));
        // The fleet is new as a whole until its window is over.
        warmup.start(7);
        assert_eq!((warmup.step_on(34_999_999), warmup.wake(), warmup.factor(7, 1_000, 34_999_999)), (vec![7], u64::MAX, 1.0));
        warmup.start(7);
        assert_eq!((warmup.wake(), warmup.factor(7, 1_000, 99_000_000)), (0, 0.1));
        assert_eq!((warmup.step_on(40_000_000), warmup.wake()), (vec![7], 41_000_000));
        assert_eq!(warmup.factor(7, 1_000, 55_000_000), 0.5);
        assert_eq!((warmup.step_on(70_000_000), warmup.wake(), warmup.factor(7, 1_000, 70_000_000)), (vec![7], u64::MAX, 1.0));
        assert_eq!(warmup.step_on(71_000_000), Vec::<u32>::new());
    }

    #[test]
    fn settings_round_trip() {
        let other = SlowStart { window: Duration::from_secs(600), min: 100, aggression: 0.5, rule: Ramp::Dubbo };
        for settings in [SlowStart::default(), other] {
            assert_eq!(SlowStart::from_value(&settings.to_value()), Ok(settings));
        }
        for (name, value) in [("min", Value::from(0u64)), ("aggression", 0.0.into()), ("rule", "x".into()), ("window", 0.0.into())] {
            assert_eq!(SlowStart::from_value(&Value::map([(name, value)])).unwrap_err().field(), name);
        }
    }
}
