//! When to ask again: back-off, the bound on vain questions, and jitter.
//!
//! | after | the next question comes after |
//! |---|---|
//! | news of a question that waits | 50 to 150 ms |
//! | a question that waited in vain | at once |
//! | an answer to a question of every so often | 0.9 to 1.1 times the interval, or what the source says |
//! | a failure | 2 s, doubled with each one in a row up to 60 s, times 0.5 to 1.5; no sooner than `Retry-After` |
//! | a break (410, an index that runs backwards) | 0 to 5 s |
//!
//! A vain answer is a failure, a break, or one that comes at once and says nothing new. The third question of a row never comes within 15 s of
//! the answer to the first, so that a broken server is asked at most twice in 15 s (Consul's client rules ask for such a bound). Every draw is uniform and of
//! the feed's own seed, so that ten thousand clients of one server that restarts come back evenly spread.

use core::time::Duration;

use crate::rng::Rng;
use crate::time::{Timestamp, micros};

/// The time in which a source is asked in vain at most twice.
const WINDOW: Duration = Duration::from_secs(15);
/// The middle of the back-off after the first failure.
const BASE: Duration = Duration::from_secs(2);
/// The middle of the longest back-off.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is believed.
const RETRY_AFTER: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
pub(super) struct Pace {
    rng: Rng,
    /// Failures in a row.
    failures: u32,
    /// When the last two vain answers came.
    vain: [Option<Timestamp>; 2],
}

impl Pace {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), failures: 0, vain: [None; 2] }
    }

    /// A question that waits had an answer that says something new.
    pub(super) fn news(&mut self) -> Duration {
        self.failures = 0;
        self.between(Duration::from_millis(50), Duration::from_millis(150))
    }

    /// A question that waits had an answer that says nothing new.
    pub(super) fn nothing(&mut self, now: Timestamp) -> Duration {
        self.failures = 0;
        self.waste(now)
    }

    /// A question of every so often was answered.
    pub(super) fn answered(&mut self, interval: Duration) -> Duration {
        self.failures = 0;
        self.around(interval, 10)
    }

    /// A question failed.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>, now: Timestamp) -> Duration {
        let doubled = BASE.saturating_mul(1u32.checked_shl(self.failures.min(16)).unwrap_or(1));
        self.failures = self.failures.saturating_add(1);
        let back_off = self.around(doubled.min(LONGEST), 50);
        let told = retry_after.map_or(Duration::ZERO, |told| {
            let told = told.min(RETRY_AFTER);
            told.saturating_add(self.between(Duration::ZERO, percent(told, 10)))
        });
        back_off.max(told).max(self.waste(now))
    }

    /// All must be asked for again.
    pub(super) fn broken(&mut self, now: Timestamp) -> Duration {
        self.between(Duration::ZERO, Duration::from_secs(5)).max(self.waste(now))
    }

    /// Notes a vain answer; tells how long the bound on them makes the source wait.
    fn waste(&mut self, now: Timestamp) -> Duration {
        let [_, last] = self.vain;
        self.vain = [last, Some(now)];
        let Some(last) = last else { return Duration::ZERO };
        let left = last.saturating_add(WINDOW).saturating_since(now);
        // All who failed at once would come back at once.
        if left.is_zero() { left } else { left.saturating_add(self.between(Duration::ZERO, percent(WINDOW, 50))) }
    }

    /// So many hundredths of `duration` more or less.
    fn around(&mut self, duration: Duration, hundredths: u64) -> Duration {
        let slack = percent(duration, hundredths);
        self.between(duration.saturating_sub(slack), duration.saturating_add(slack))
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = micros(most).saturating_sub(micros(least)).saturating_add(1);
        Duration::from_micros(micros(least).saturating_add(self.rng.below_u64(span)))
    }
}

fn percent(duration: Duration, hundredths: u64) -> Duration {
    Duration::from_micros(micros(duration).saturating_mul(hundredths) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The times at which a source is asked that answers so.
    fn asked(seed: u64, mut answer: impl FnMut(&mut Pace, Timestamp, usize) -> Duration) -> Vec<f64> {
        let (mut pace, mut now) = (Pace::new(seed), Timestamp::from_secs(100));
        let mut times = Vec::new();
        for count in 0..200 {
            times.push(now.as_micros() as f64 / 1e6);
            let after = answer(&mut pace, now, count);
            now = now.saturating_add(after);
        }
        times
    }

    #[test]
    fn a_broken_server_is_asked_at_most_twice_in_15_s() {
        let servers: [fn(&mut Pace, Timestamp, usize) -> Duration; 4] = [
            |pace, now, _| pace.failed(None, now),
            |pace, now, _| pace.nothing(now),
            |pace, now, _| pace.broken(now),
            |pace, now, count| if count % 2 == 0 { pace.nothing(now) } else { pace.failed(Some(Duration::ZERO), now) },
        ];
        for server in servers {
            for seed in 0..20 {
                let times = asked(seed, server);
                assert!(times.windows(3).all(|three| three[2] - three[0] >= 15.0), "{times:?}");
            }
        }
        // After a long wait there is nothing to bound.
        let mut pace = Pace::new(0);
        for minute in 0..10 {
            assert_eq!(pace.nothing(Timestamp::from_secs(minute * 60)), Duration::ZERO);
        }
    }

    #[test]
    fn ten_thousand_clients_come_back_evenly_spread() {
        for failures in 0..4 {
            let mut second = [0u32; 120];
            let mut latest = 0;
            for seed in 0..10_000 {
                let times = asked(seed, |pace, now, _| pace.failed(None, now));
                let came = times[failures + 1] - times[0];
                latest = latest.max(came as usize);
                second[came as usize] += 1;
            }
            let first = second.iter().position(|count| *count > 0).unwrap();
            assert!(latest > first, "{failures}: all come back within a second");
            let mean = 10_000 / (latest + 1 - first) as u32;
            let peak = second.iter().max().unwrap();
            assert!(*peak <= mean * 2 + mean / 2, "{failures}: {peak} of a mean of {mean}");
        }
    }

    #[test]
    fn what_the_source_asks_for_is_kept() {
        let mut pace = Pace::new(1);
        for secs in [0, 1, 30, 600, 3_600, 1 << 40] {
            let after = pace.failed(Some(Duration::from_secs(secs)), Timestamp::from_secs(1_000_000 + secs.min(9_999) * 100));
            assert!(after >= Duration::from_secs(secs.min(3_600)) && after <= Duration::from_secs(3_960), "{secs}: {after:?}");
        }
        let mut pace = Pace::new(1);
        for _ in 0..100 {
            let after = pace.answered(Duration::from_secs(30));
            assert!((27..=33).contains(&after.as_secs()), "{after:?}");
            assert!(pace.news() <= Duration::from_millis(150));
        }
    }
}
