//! What a server knows of itself: what it answers a probe with (its requests in flight, of all clients, and the latency that
//! those had that came when there were about as many; Prequal, section 4), and what it reports with each answer (ORCA).

use std::collections::VecDeque;

use callboard::balance::Load;

use crate::scenario::Model;
use crate::{Nanos, seconds};

/// Answers that are remembered, and how many of them an estimate is made of.
const KEPT: usize = 64;
const ASKED: usize = 9;

/// Seconds over which rates are averaged.
const MEMORY: f64 = 5.0;

#[derive(Clone, Debug, Default)]
pub struct Gauge {
    pub in_flight: u32,
    recent: VecDeque<(u32, Nanos)>,
    /// Cores or workers it was promised; 0 when calls do not disturb each other.
    promised: f64,
    /// How many it has now.
    cores: f64,
    /// Averages of the last seconds: answers and failures a second, cores at work.
    answers: f64,
    failures: f64,
    busy: f64,
    at: Nanos,
}

impl Gauge {
    pub fn new(model: &Model) -> Self {
        let promised = match model {
            Model::Delay => 0.0,
            Model::Queue { workers, .. } => *workers as f64,
            Model::Shared { cores, .. } => *cores,
        };
        Self { promised, cores: promised, ..Self::default() }
    }

    /// A request comes; how many there are with it.
    pub fn begin(&mut self, now: Nanos) -> u32 {
        self.pass(now);
        self.in_flight += 1;
        self.in_flight
    }

    /// A request that came when there were `among` is over; with its latency if it was answered.
    pub fn end(&mut self, among: u32, latency: Option<Nanos>, now: Nanos) {
        self.pass(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(latency) = latency else {
            self.failures += 1.0 / MEMORY;
            return;
        };
        self.answers += 1.0 / MEMORY;
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back((among, latency));
    }

    /// What it says of its load.
    pub fn report(&mut self, now: Nanos) -> Load {
        self.pass(now);
        let cpu = if self.promised > 0.0 { self.busy / self.promised } else { 0.0 };
        Load { utilization: cpu, cpu, qps: self.answers, eps: self.failures, rif: f64::from(self.in_flight) }
    }

    /// Its neighbours leave it so many cores from now on.
    pub fn set_cores(&mut self, cores: f64, now: Nanos) {
        self.pass(now);
        self.cores = cores;
    }

    fn pass(&mut self, now: Nanos) {
        let keep = (-seconds(now - self.at) / MEMORY).exp();
        // The time that the processors spent on it: each call uses one core at most, and all of them no more than there are.
        let busy = f64::from(self.in_flight).min(self.cores);
        self.busy = busy + (self.busy - busy) * keep;
        self.answers *= keep;
        self.failures *= keep;
        self.at = now;
    }

    /// The median latency of the requests that came when there were about as many as now.
    pub fn latency(&self) -> Nanos {
        let mut nearest: Vec<(u32, Nanos)> =
            self.recent.iter().map(|(among, latency)| (among.abs_diff(self.in_flight + 1), *latency)).collect();
        nearest.sort_unstable();
        nearest.truncate(ASKED);
        let mut latencies: Vec<Nanos> = nearest.into_iter().map(|(_, latency)| latency).collect();
        latencies.sort_unstable();
        latencies.get(latencies.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_is_that_at_the_same_load() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.latency(), 0);
        for step in 0..20 {
            for (among, latency) in [(1, 100 + step), (8, 900 + step)] {
                gauge.begin(0);
                gauge.end(among, Some(latency), 0);
            }
        }
        assert!((100..120).contains(&gauge.latency()));
        for _ in 0..7 {
            gauge.begin(0);
        }
        assert!((900..920).contains(&gauge.latency()));
    }

    #[test]
    fn a_server_uses_no_more_than_its_neighbours_leave() {
        let mut gauge = Gauge::new(&Model::Shared { cores: 4.0, spare: None });
        (0..8).for_each(|_| _ = gauge.begin(0));
        gauge.set_cores(2.0, 0);
        assert!((gauge.report(60_000_000_000).utilization - 0.5).abs() < 1e-4);
    }

    #[test]
    fn rates_are_reported() {
        let mut gauge = Gauge::new(&Model::Shared { cores: 2.0, spare: None });
        // Ten a second, each of 100 ms: one core of two.
        for step in 0..300u64 {
            gauge.begin(step * 100_000_000);
            gauge.end(1, (step % 10 > 0).then_some(100_000_000), step * 100_000_000 + 99_999_999);
        }
        let load = gauge.report(30_000_000_000);
        assert!((load.qps - 9.0).abs() < 0.3 && (load.eps - 1.0).abs() < 0.2 && (load.cpu - 0.5).abs() < 0.01, "{load:?}");
    }
}
