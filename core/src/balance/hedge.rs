//! When a second call is worth sending while the first is still out.

use core::time::Duration;

use super::histogram::Histogram;
use super::retry::{Budget, Purse};
use super::settings::{Settings, time};
use crate::error::Error;
use crate::time::micros;
use crate::value::Value;

/// When a call that has no answer yet is sent to a second instance as well: after a quantile of the latencies, so that few
/// calls need it (Dean and Barroso, The Tail at Scale, 2013; Finagle's BackupRequestFilter; tower's Hedge).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// The share of the calls that are answered before: above 0 and below 1, default 0.95.
    pub quantile: f64,
    /// The shortest delay: at most 1 h, default 1 ms (Finagle).
    pub least: Duration,
    /// How many calls more there may be, as a share of those that ended: 0 to 1, default 0.05.
    pub load: f64,
    /// For how long a latency is remembered: it is forgotten after one to two of these; 1 ms to 1 h, default 30 s.
    pub window: Duration,
    /// How many latencies are needed: at least 1, default 20.
    pub samples: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { quantile: 0.95, least: Duration::from_millis(1), load: 0.05, window: Duration::from_secs(30), samples: 20 }
    }
}

impl Hedge {
    /// Reads `{quantile?, least?, load?, window?, samples?}`; times are in seconds.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::InvalidDuration`](crate::Code::InvalidDuration),
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["quantile", "least", "load", "window", "samples"])?;
        let default = Self::default();
        Ok(Self {
            quantile: settings.number("quantile", default.quantile, 0.001, 0.9999)?,
            least: settings.time("least", default.least)?,
            load: settings.number("load", default.load, 0.0, 1.0)?,
            window: settings.span("window", default.window)?,
            samples: settings.count("samples", default.samples, 1)?,
        })
    }

    /// Writes `{quantile, least, load, window, samples}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("quantile", Value::from(self.quantile)),
            ("least", time(self.least)),
            ("load", self.load.into()),
            ("window", time(self.window)),
            ("samples", u64::from(self.samples).into()),
        ])
    }
}

/// The latencies of the present and the last window, and what may be spent.
#[derive(Clone, Debug)]
pub(super) struct Hedger {
    settings: Hedge,
    /// Being filled, and full.
    present: Histogram,
    last: Histogram,
    /// When the present window ends; 0 before the first latency.
    ends: u64,
    purse: Purse,
    /// The delay, taken anew when the histograms have changed enough; none when they are too few.
    delay: Option<u64>,
    /// How many latencies until it is taken anew.
    stale: u32,
}

/// Latencies after which the quantile is taken anew.
const FRESH: u32 = 64;

impl Hedger {
    pub(super) fn new(settings: Hedge) -> Self {
        let purse = Purse::new(Budget::Share { window: settings.window, reserve: 0.0, share: settings.load });
        Self { settings, present: Histogram::new(), last: Histogram::new(), ends: 0, purse, delay: None, stale: 0 }
    }

    /// Takes note of a call that ended well; `counts` is false for one that was itself a hedge.
    #[inline]
    pub(super) fn learn(&mut self, latency: u64, counts: bool, now: u64) {
        self.turn(now);
        self.present.add(latency);
        self.stale = self.stale.saturating_sub(1);
        self.purse.earn(false, counts, now);
    }

    fn turn(&mut self, now: u64) {
        if now < self.ends {
            return;
        }
        let window = micros(self.settings.window).max(1);
        if now.saturating_sub(self.ends) < window {
            self.last = core::mem::replace(&mut self.present, Histogram::new());
        } else {
            self.last.clear();
            self.present.clear();
        }
        self.ends = now.saturating_add(window);
        self.stale = 0;
    }

    /// How long to wait for the first answer; none while too little is known, or when too much was spent.
    pub(super) fn delay(&mut self, now: u64) -> Option<Duration> {
        self.turn(now);
        if !self.purse.affords(now) {
            return None;
        }
        if self.stale == 0 {
            // Until the present window has enough, the last one speaks (tower).
            let known = [&self.present, &self.last].into_iter().find(|histogram| histogram.total() >= self.settings.samples);
            self.delay = known.and_then(|histogram| histogram.quantile(self.settings.quantile));
            self.stale = if self.delay.is_some() { FRESH } else { 0 };
        }
        self.delay.map(|delay| Duration::from_micros(delay).max(self.settings.least))
    }

    /// Pays for a second call, if there is enough.
    pub(super) fn spend(&mut self, now: u64) -> bool {
        self.purse.spend(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_delay_is_the_quantile_of_the_last_while() {
        let mut hedger = Hedger::new(Hedge::default());
        for call in 1..20 {
            hedger.learn(call * 1_000, true, 0);
        }
        assert_eq!(hedger.delay(0), None);
        for call in 20..=100 {
            hedger.learn(call * 1_000, true, 0);
        }
        let delay = hedger.delay(0).unwrap().as_micros() as f64;
        assert!((delay / 95_000.0 - 1.0).abs() < 1.0 / 15.0, "{delay}");
        // It outlives one window, and not two.
        assert!(hedger.delay(31 * SECOND).is_none());
        hedger.learn(1_000, true, 31 * SECOND);
        assert_eq!(hedger.delay(100 * SECOND), None);
    }

    #[test]
    fn a_twentieth_of_the_calls_may_be_hedged() {
        let mut hedger = Hedger::new(Hedge::default());
        let mut hedged = 0;
        for call in 0..10_000 {
            let now = call * 1_000;
            hedger.learn(5_000, true, now);
            if hedger.delay(now).is_some() && hedger.spend(now) {
                hedged += 1;
                hedger.learn(5_000, false, now);
            }
        }
        assert!((495..=500).contains(&hedged), "{hedged}");
    }

    #[test]
    fn settings_round_trip() {
        let hedge = Hedge { quantile: 0.99, load: 0.01, ..Hedge::default() };
        assert_eq!(Hedge::from_value(&hedge.to_value()), Ok(hedge));
        assert_eq!(Hedge::from_value(&Value::map([("quantile", Value::from(1.0))])).unwrap_err().field(), "quantile");
        assert_eq!(Hedge::from_value(&Value::map([("samples", Value::from(0u64))])).unwrap_err().field(), "samples");
    }
}
