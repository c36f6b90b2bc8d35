//! How many calls may be out at once: a limit that finds itself, by the algorithms of Netflix' concurrency-limits.

mod config;

pub use config::{Aimd, Gradient, Gradient2, Limit, Vegas};

use super::outcome::{Outcome, OutcomeKind};
use crate::rng::Rng;
use crate::time::micros;

/// The limit as it is found.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    settings: Limit,
    limit: f64,
    /// `gradient2`: the long-term latency in microseconds, and how many samples went into it, up to [`WARM_UP`].
    long: f64,
    seen: u32,
    /// `gradient` and `vegas`: the lowest latency, 0 while there is none; the calls since it was measured; where in its range that
    /// ends.
    lowest: f64,
    calls: u32,
    jitter: f64,
}

/// Samples whose plain mean the long-term latency starts with.
const WARM_UP: u32 = 10;

impl Limiter {
    pub(super) fn new(settings: Limit, rng: &mut Rng) -> Self {
        let initial = match settings {
            Limit::Fixed(max) => max,
            Limit::Gradient(Gradient { initial, .. }) => initial,
            Limit::Gradient2(Gradient2 { initial, .. }) | Limit::Vegas(Vegas { initial, .. }) | Limit::Aimd(Aimd { initial, .. }) => {
                initial
            }
        };
        Self { settings, limit: f64::from(initial), long: 0.0, seen: 0, lowest: 0.0, calls: 0, jitter: jitter(rng) }
    }

    /// How many calls may be out at once now.
    #[inline]
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Learns from a call that took so long, when as many were out as `in_flight`, itself included. One that failed for
    /// another reason than overload, or was given up, says nothing.
    pub(super) fn learn(&mut self, outcome: &Outcome, latency: u64, in_flight: u32, rng: &mut Rng) {
        let dropped = match outcome.kind {
            OutcomeKind::Success => false,
            OutcomeKind::Timeout | OutcomeKind::Connect | OutcomeKind::Throttled => true,
            OutcomeKind::Error | OutcomeKind::Gateway | OutcomeKind::Cancelled => return,
        };
        let (latency, in_flight) = (latency.max(1) as f64, f64::from(in_flight));
        match self.settings {
            Limit::Fixed(_) => {}
            Limit::Gradient(settings) => self.gradient(&settings, latency, in_flight, dropped, rng),
            Limit::Gradient2(settings) => self.gradient2(&settings, latency, in_flight),
            Limit::Vegas(settings) => self.vegas(&settings, latency, in_flight, dropped, rng),
            Limit::Aimd(settings) => self.aimd(&settings, latency, in_flight, dropped),
        }
    }

    fn gradient(&mut self, settings: &Gradient, latency: f64, in_flight: f64, dropped: bool, rng: &mut Rng) {
        let queue = libm::floor(libm::sqrt(libm::floor(self.limit)));
        let queue = if queue > f64::from(settings.queue) { queue } else { f64::from(settings.queue) };
        // From one to two intervals.
        if self.jitter * 2.0 * f64::from(settings.probe) <= f64::from(self.calls) {
            (self.jitter, self.calls, self.lowest) = (jitter(rng), 0, 0.0);
            self.limit = if queue > f64::from(settings.min) { queue } else { f64::from(settings.min) };
            return;
        }
        self.calls = self.calls.saturating_add(1);
        if self.lowest <= 0.0 || latency < self.lowest {
            self.lowest = latency;
        }
        let target = if dropped {
            self.limit * settings.backoff
        } else if in_flight < self.limit / 2.0 {
            return;
        } else {
            self.limit * (settings.tolerance * self.lowest / latency).clamp(0.5, 1.0) + queue
        };
        let target = if target < self.limit {
            let lower = self.limit * (1.0 - settings.smoothing) + target * settings.smoothing;
            if lower > f64::from(settings.min) { lower } else { f64::from(settings.min) }
        } else {
            target
        };
        let bound = f64::from(settings.max);
        let target = if target < bound { target } else { bound };
        self.limit = if target > queue { target } else { queue };
    }

    fn gradient2(&mut self, settings: &Gradient2, short: f64, in_flight: f64) {
        if self.seen < WARM_UP {
            let count = f64::from(self.seen);
            self.long = (self.long * count + short) / (count + 1.0);
            self.seen = self.seen.saturating_add(1);
        } else {
            let factor = 2.0 / (f64::from(settings.window) + 1.0);
            self.long = self.long * (1.0 - factor) + short * factor;
        }
        let long = self.long;
        if long / short > 2.0 {
            // After a long overload the past is forgotten faster.
            self.long *= 0.95;
        }
        if in_flight < self.limit / 2.0 {
            return;
        }
        let gradient = (settings.tolerance * long / short).clamp(0.5, 1.0);
        let target = self.limit * gradient + f64::from(settings.queue);
        let limit = self.limit * (1.0 - settings.smoothing) + target * settings.smoothing;
        self.limit = within(limit, settings.min, settings.max);
    }

    fn vegas(&mut self, settings: &Vegas, latency: f64, in_flight: f64, dropped: bool, rng: &mut Rng) {
        self.calls = self.calls.saturating_add(1);
        if self.jitter * f64::from(settings.probe) * self.limit <= f64::from(self.calls) {
            (self.jitter, self.calls, self.lowest) = (jitter(rng), 0, latency);
            return;
        }
        if self.lowest <= 0.0 || latency < self.lowest {
            self.lowest = latency;
            return;
        }
        let step = digits(self.limit as u32);
        let (alpha, beta) = (3.0 * step, 6.0 * step);
        let queue = libm::ceil(self.limit * (1.0 - self.lowest / latency));
        let target = if dropped {
            self.limit - step
        } else if in_flight * 2.0 < self.limit {
            return;
        } else if queue <= step {
            self.limit + beta
        } else if queue < alpha {
            self.limit + step
        } else if queue > beta {
            self.limit - step
        } else {
            return;
        };
        let target = within(target, 1, settings.max);
        self.limit = (1.0 - settings.smoothing) * self.limit + settings.smoothing * target;
    }

    fn aimd(&mut self, settings: &Aimd, latency: f64, in_flight: f64, dropped: bool) {
        if dropped || latency > micros(settings.timeout) as f64 {
            self.limit = libm::floor(self.limit * settings.backoff);
        } else if in_flight * 2.0 >= self.limit {
            self.limit += 1.0;
        }
        self.limit = within(self.limit, settings.min, settings.max);
    }
}

/// The upper bound wins, as a configuration may contradict itself.
fn within(limit: f64, min: u32, max: u32) -> f64 {
    let raised = if limit > f64::from(min) { limit } else { f64::from(min) };
    if raised < f64::from(max) { raised } else { f64::from(max) }
}

/// Between 1/2 and 1, lest all clients measure at once.
fn jitter(rng: &mut Rng) -> f64 {
    0.5 + 0.5 * rng.unit()
}

/// The whole part of the decimal logarithm, at least 1.
fn digits(limit: u32) -> f64 {
    f64::from(limit.max(1).ilog10().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(settings: Limit) -> (Limiter, Rng) {
        let mut rng = Rng::new(1);
        (Limiter::new(settings, &mut rng), rng)
    }

    fn ok(limiter: &mut Limiter, rng: &mut Rng, latency: u64, in_flight: u32) {
        limiter.learn(&Outcome::default(), latency, in_flight, rng);
    }

    /// One step worked out from the published rule: the limit 20, the long-term latency 10, the present one 20.
    #[test]
    fn a_step_of_gradient2() {
        let settings = Gradient2 { min: 1, ..Gradient2::default() };
        let (mut limiter, mut rng) = limiter(Limit::Gradient2(settings));
        // The sample itself is averaged in first; the long-term latency is 10 after it.
        (limiter.seen, limiter.long) = (WARM_UP, (10.0 - 20.0 * (2.0 / 601.0)) / (1.0 - 2.0 / 601.0));
        ok(&mut limiter, &mut rng, 20, 20);
        assert!((limiter.limit - 19.8).abs() < 1e-9, "{}", limiter.limit);
        let before = limiter.limit;
        ok(&mut limiter, &mut rng, 20, 9);
        assert_eq!(limiter.limit, before, "too few are out to tell");
    }

    #[test]
    fn gradient_measures_the_lowest_latency_anew() {
        let settings = Gradient { initial: 100, probe: 50, ..Gradient::default() };
        let (mut limiter, mut rng) = limiter(Limit::Gradient(settings));
        // After one to two times so many calls as few are let out as may wait: the root of the limit.
        let lowest = (0..200).map(|_| {
            let in_flight = limiter.limit();
            ok(&mut limiter, &mut rng, 1_000, in_flight);
            limiter.limit()
        });
        assert!((4..=32).contains(&lowest.min().unwrap_or_default()));
    }

    #[test]
    fn gradient2_grows_while_the_latency_stays_and_shrinks_when_it_grows() {
        let (mut limiter, mut rng) = limiter(Limit::default());
        for _ in 0..1_000 {
            let in_flight = limiter.limit();
            ok(&mut limiter, &mut rng, 1_000, in_flight);
        }
        assert_eq!(limiter.limit(), 200);
        for _ in 0..100 {
            ok(&mut limiter, &mut rng, 10_000, 200);
        }
        assert!(limiter.limit() < 30, "{}", limiter.limit());
    }

    #[test]
    fn vegas_follows_the_queue() {
        let (mut limiter, mut rng) = limiter(Limit::Vegas(Vegas::default()));
        ok(&mut limiter, &mut rng, 100, 20);
        // No queue: by beta, 6. A queue of ceil(26 x (1 - 100/125)) = 6: between alpha and beta, it stays.
        for (latency, in_flight, limit) in [(100, 20, 26), (125, 26, 26), (110, 26, 26), (140, 26, 25), (100, 12, 25), (100, 13, 31)] {
            ok(&mut limiter, &mut rng, latency, in_flight);
            assert_eq!(limiter.limit(), limit, "{latency} {in_flight}");
        }
        limiter.learn(&Outcome::of(OutcomeKind::Timeout), 100, 31, &mut rng);
        assert_eq!(limiter.limit(), 30);
        limiter.learn(&Outcome::failure(), 100, 31, &mut rng);
        assert_eq!(limiter.limit(), 30, "an error tells nothing of the load");
    }

    #[test]
    fn vegas_measures_the_lowest_latency_anew() {
        let (mut limiter, mut rng) = limiter(Limit::Vegas(Vegas { max: 20, ..Vegas::default() }));
        ok(&mut limiter, &mut rng, 100, 20);
        for _ in 0..20 * 30 {
            ok(&mut limiter, &mut rng, 200, 20);
        }
        assert_eq!(limiter.lowest, 200.0);
    }

    #[test]
    fn aimd_adds_one_and_takes_a_tenth() {
        let (mut limiter, mut rng) = limiter(Limit::Aimd(Aimd { min: 1, ..Aimd::default() }));
        ok(&mut limiter, &mut rng, 1_000, 10);
        assert_eq!(limiter.limit(), 21);
        ok(&mut limiter, &mut rng, 1_000, 10);
        assert_eq!(limiter.limit(), 21);
        ok(&mut limiter, &mut rng, 5_000_001, 21);
        assert_eq!(limiter.limit(), 18);
        for _ in 0..100 {
            limiter.learn(&Outcome::of(OutcomeKind::Throttled), 1_000, 18, &mut rng);
        }
        assert_eq!(limiter.limit(), 1);
    }
}
