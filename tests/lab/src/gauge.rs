//! What a server knows of itself, and answers a probe with: its requests in flight, of all clients, and the latency that those
//! had that came when there were about as many (Prequal, section 4).

use std::collections::VecDeque;

use crate::Nanos;

/// Answers that are remembered, and how many of them an estimate is made of.
const KEPT: usize = 64;
const ASKED: usize = 9;

#[derive(Clone, Debug, Default)]
pub struct Gauge {
    pub in_flight: u32,
    recent: VecDeque<(u32, Nanos)>,
}

impl Gauge {
    /// A request comes; how many there are with it.
    pub fn begin(&mut self) -> u32 {
        self.in_flight += 1;
        self.in_flight
    }

    /// A request that came when there were `among` is over; with its latency if it was answered.
    pub fn end(&mut self, among: u32, latency: Option<Nanos>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(latency) = latency {
            if self.recent.len() == KEPT {
                self.recent.pop_front();
            }
            self.recent.push_back((among, latency));
        }
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
                gauge.begin();
                gauge.end(among, Some(latency));
            }
        }
        assert!((100..120).contains(&gauge.latency()));
        for _ in 0..7 {
            gauge.begin();
        }
        assert!((900..920).contains(&gauge.latency()));
    }
}
