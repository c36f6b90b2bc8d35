//! `prequal`: the hot and cold rule over a pool of probes (Wydrowski, Kleinberg, Rumble and Archer, NSDI 2024).
//!
//! The host asks instances how they are, ahead of the calls that need to know: whom to ask, the balancer tells it
//! ([`Balancer::probe_requests`](crate::balance::Balancer::probe_requests)), and what they say goes into a pool
//! ([`Balancer::probed`](crate::balance::Balancer::probed)): their requests in flight, of all clients, and the latency they
//! expect. A pick calls an instance *hot* when its requests in flight are above a quantile of those seen lately. Of the cold
//! ones the one of least latency gets the call; when all are hot, the one with the fewest requests in flight.
//!
//! A probe is spent after so many uses that the pool neither starves nor grows stale, and after its age; the pick counts
//! itself in the probe it used; and with every pick the oldest and the worst probe go by turns. With fewer than two probes
//! a pick is made at random, by weight. Probes are sent by weight too, which the paper has none of.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Candidates;
use super::random::Table;
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::Handle;
use crate::rng::Rng;
use crate::time::{duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// The settings of Prequal; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prequal {
    /// Probes in the pool: 2 to 64, default 16.
    pub pool: u32,
    /// When a probe is too old: 1 ms to 1 h, default 1 s.
    pub age: Duration,
    /// Probes sent for each pick: 0.1 to 16, default 3.
    pub rate: f64,
    /// Probes taken out after each pick: 0 to 16, default 1.
    pub remove: f64,
    /// The quantile of the requests in flight above which an instance is hot: 0 (all are: only requests in flight count) to 1
    /// (none is: only latency counts); default 0.84, which is `2^-1/4`.
    pub quantile: f64,
    /// By how much more a probe may be used than the rates ask for: 0 to 16, default 1.
    pub delta: f64,
}

impl Default for Prequal {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Prequal {
    /// The paper's settings.
    pub(super) const DEFAULT: Self = Self { pool: 16, age: Duration::from_secs(1), rate: 3.0, remove: 1.0, quantile: 0.84, delta: 1.0 };

    /// Reads `{kind?, pool?, age?, rate?, remove?, quantile?, delta?}`; `age` is in seconds.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidArgument`], [`Code::InvalidDuration`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "pool", "age", "rate", "remove", "quantile", "delta"])?;
        let default = Self::default();
        let within = |name: &str, least: f64, most: f64, default: f64| {
            let number = fields.f64(name)?.unwrap_or(default);
            // NaN is in no range.
            let wrong = || fields.error(Code::InvalidArgument, name).detail(alloc::format!("a number from {least} to {most}"));
            (least..=most).contains(&number).then_some(number).ok_or_else(wrong)
        };
        let pool = fields.u64("pool")?.unwrap_or(u64::from(default.pool));
        if pool > u64::from(limits::PROBES) {
            return Err(Error::too_large("pool", u64::from(limits::PROBES)));
        }
        if pool < 2 {
            return Err(Error::new(Code::InvalidArgument, "pool").message("at least 2"));
        }
        let age = fields.f64("age")?.map_or(Ok(default.age), |age| duration_from_secs("age", age))?;
        if !(limits::SPAN_MIN_MICROS..=limits::SPAN_MAX_MICROS).contains(&micros(age)) {
            return Err(Error::new(Code::LimitExceeded, "age").limit(limits::SPAN_MAX_MICROS).message("from 1 ms to 1 h"));
        }
        Ok(Self {
            pool: pool as u32,
            age,
            rate: within("rate", 0.1, 16.0, default.rate)?,
            remove: within("remove", 0.0, 16.0, default.remove)?,
            quantile: within("quantile", 0.0, 1.0, default.quantile)?,
            delta: within("delta", 0.0, 16.0, default.delta)?,
        })
    }

    /// How often a probe may be used among so many instances: the paper's reuse limit, but for its least of 1; as often as the pool has
    /// probes when more are taken out than come in.
    fn uses(&self, count: usize) -> f64 {
        let share = f64::from(self.pool) / count.max(1) as f64;
        let surplus = (1.0 - if share < 1.0 { share } else { 1.0 }) * self.rate - self.remove;
        if surplus > 0.0 { (1.0 + self.delta) / surplus } else { f64::from(self.pool) }
    }

    /// Writes what [`Prequal::from_value`] reads.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("kind", Value::from("prequal")),
            ("pool", u64::from(self.pool).into()),
            ("age", secs(self.age).into()),
            ("rate", self.rate.into()),
            ("remove", self.remove.into()),
            ("quantile", self.quantile.into()),
            ("delta", self.delta.into()),
        ])
    }
}

/// What an instance said of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::balance) struct Probe {
    slot: u32,
    handle: Handle,
    /// Requests in flight, and what was picked since.
    load: f64,
    /// Microseconds.
    latency: f64,
    at: u64,
    /// How often it may still be used.
    uses: u32,
}

/// Requests in flight that the quantile is taken of.
const SEEN: usize = 64;

#[derive(Clone, Debug)]
pub(in crate::balance) struct Pool {
    rules: Prequal,
    table: Table,
    /// The oldest first.
    probes: VecDeque<Probe>,
    /// The loads of the probes that came last.
    seen: VecDeque<f64>,
    /// Above it an instance is hot.
    hot: f64,
    /// Probes that are owed for picks made, and removals.
    owed: f64,
    removals: f64,
    /// Whether the worst is taken out next, rather than the oldest.
    worst_next: bool,
}

/// What a build hands on to the next one.
#[derive(Clone, Debug, Default)]
pub(in crate::balance) struct Parked {
    probes: VecDeque<Probe>,
    seen: VecDeque<f64>,
}

impl Pool {
    pub(super) fn build(rules: Prequal, slots: &[u32], members: &mut Members) -> Self {
        let Parked { probes, seen } = members.take_probes();
        let stays = |probe: &Probe| slots.contains(&probe.slot) && members.handle(probe.slot) == Some(probe.handle);
        let probes = probes.into_iter().filter(stays).collect();
        let table = Table::build(slots, members);
        let mut pool = Self { rules, table, probes, seen, hot: 0.0, owed: f64::from(rules.pool), removals: 0.0, worst_next: false };
        pool.judge();
        pool
    }

    /// Hands the probes on.
    pub(super) fn park(&mut self, members: &mut Members) {
        members.park_probes(Parked { probes: core::mem::take(&mut self.probes), seen: core::mem::take(&mut self.seen) });
    }

    /// Above which load an instance is hot, by the loads seen lately.
    fn judge(&mut self) {
        let mut loads: Vec<f64> = self.seen.iter().copied().collect();
        let count = loads.len();
        // From 0 to the number of loads; the conversion saturates.
        let rank = (self.rules.quantile * count as f64) as usize;
        self.hot = if rank >= count {
            f64::INFINITY
        } else if self.rules.quantile == 0.0 {
            -1.0
        } else {
            *loads.select_nth_unstable_by(rank, f64::total_cmp).1
        };
    }

    /// Enters what an instance said.
    pub(super) fn enter(&mut self, slot: u32, handle: Handle, load: f64, latency: f64, count: usize, now: u64) {
        if self.probes.len() >= self.rules.pool as usize {
            self.probes.pop_front();
        }
        // At least once; at most 2^32 times, by the saturating conversion.
        let uses = (self.rules.uses(count) + 0.5) as u32;
        self.probes.push_back(Probe { slot, handle, load, latency, at: now, uses: uses.max(1) });
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(load);
        self.judge();
    }

    /// Whom to ask now, for the picks made since the last time.
    pub(super) fn requests(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Vec<Handle> {
        let mut asked = Vec::new();
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let handle = self.table.pick(candidates, rng).and_then(|slot| candidates.members.handle(slot));
            if let Some(handle) = handle.filter(|handle| !asked.contains(handle)) {
                asked.push(handle);
            }
        }
        asked
    }

    pub(super) fn pick(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let (now, age) = (candidates.now, micros(self.rules.age));
        while self.probes.front().is_some_and(|probe| now.saturating_sub(probe.at) > age) {
            self.probes.pop_front();
        }
        // Nobody asks for more at once than fill the pool.
        let most = f64::from(self.rules.pool);
        self.owed = if self.owed + self.rules.rate < most { self.owed + self.rules.rate } else { most };
        if self.probes.len() < 2 {
            return self.table.pick(candidates, rng);
        }
        let open = |probe: &Probe| candidates.excluded.is_empty() || candidates.is_open(probe.slot);
        let rank = |probe: &Probe| {
            let is_hot = probe.load > self.hot;
            (is_hot, if is_hot { probe.load } else { probe.latency })
        };
        let better = |one: (bool, f64), other: (bool, f64)| (one.0 == other.0 && one.1 < other.1) || (!one.0 && other.0);
        let mut best: Option<(usize, (bool, f64))> = None;
        for (place, probe) in self.probes.iter().enumerate().filter(|(_, probe)| open(probe)) {
            let rank = rank(probe);
            candidates.note(|| super::Look { slot: probe.slot, score: if rank.0 { probe.load } else { probe.latency } });
            if best.is_none_or(|(_, other)| better(rank, other)) {
                best = Some((place, rank));
            }
        }
        let Some((place, _)) = best else { return self.table.pick(candidates, rng) };
        let slot = self.use_up(place);
        self.removals += self.rules.remove;
        while self.removals >= 1.0 {
            self.removals -= 1.0;
            self.forget();
        }
        slot
    }

    /// Counts the pick in the probe it used, and takes the probe out when that was its last use.
    fn use_up(&mut self, place: usize) -> Option<u32> {
        let probe = self.probes.get_mut(place)?;
        probe.load += 1.0;
        probe.uses = probe.uses.saturating_sub(1);
        let (slot, is_spent) = (probe.slot, probe.uses == 0);
        if is_spent {
            self.probes.remove(place);
        }
        Some(slot)
    }

    /// Takes out the oldest probe or, by turns, the worst: the hot one of the highest load, else the one of the longest latency.
    fn forget(&mut self) {
        self.worst_next = !self.worst_next;
        if !self.worst_next {
            let rank = |probe: &Probe| {
                let is_hot = probe.load > self.hot;
                (is_hot, if is_hot { probe.load } else { probe.latency })
            };
            let by = |one: &Probe, other: &Probe| {
                let (one, other) = (rank(one), rank(other));
                one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
            };
            let worst = self.probes.iter().enumerate().max_by(|(_, one), (_, other)| by(one, other)).map(|(place, _)| place);
            if let Some(worst) = worst {
                self.probes.remove(worst);
            }
        } else {
            self.probes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::filter::Excluded;

    fn pool(count: usize) -> (Members, Vec<u32>, Pool) {
        let (mut members, slots) = Members::fixture(&std::vec![1_000; count]);
        let rules = Prequal { remove: 0.0, delta: 16.0, ..Prequal::default() };
        let pool = Pool::build(rules, &slots, &mut members);
        (members, slots, pool)
    }

    fn enter(pool: &mut Pool, members: &Members, slot: u32, load: f64, latency: f64, now: u64) {
        pool.enter(slot, members.handle(slot).unwrap(), load, latency, 100, now);
    }

    #[test]
    fn settings_round_trip_and_keep_their_limits() {
        let odd = Prequal { pool: 64, quantile: 0.0, rate: 0.5, ..Prequal::default() };
        assert_eq!(Prequal::from_value(&odd.to_value()), Ok(odd));
        for (field, value) in [("pool", 65.0), ("pool", 1.0), ("age", 0.0001), ("rate", 0.0), ("quantile", 1.1), ("delta", f64::NAN)] {
            assert_eq!(Prequal::from_value(&Value::map([(field, Value::Float(value))])).unwrap_err().field(), field);
        }
    }

    #[test]
    fn of_the_cold_the_fastest_and_of_the_hot_the_least_loaded() {
        let (members, slots, mut pool) = pool(4);
        let mut rng = Rng::new(1);
        let at = |now: u64| Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now, log: None };
        for (slot, load, latency) in [(0, 1.0, 900.0), (1, 2.0, 500.0), (2, 9.0, 100.0), (3, 2.0, 700.0)] {
            enter(&mut pool, &members, slot, load, latency, 0);
        }
        // The quantile of 1, 2, 2, 9 at 0.84 is 9: none is above it, so latency decides.
        assert_eq!(pool.pick(&at(1), &mut rng), Some(2));
        // That one counts itself, and is hot now.
        assert_eq!(pool.pick(&at(1), &mut rng), Some(1));
        pool.hot = -1.0;
        assert_eq!(pool.pick(&at(1), &mut rng), Some(0));
        let tried = [members.handle(0).unwrap()];
        let excluding = Candidates { excluded: Excluded(&tried), ..at(1) };
        assert_eq!(pool.pick(&excluding, &mut rng), Some(3));
        // All are too old.
        pool.pick(&at(1_000_002), &mut rng);
        assert!(pool.probes.is_empty());
    }

    /// The paper's equation 1, for the rates of its figure 8: a pool of 16, a hundred instances, a delta of 1.
    #[test]
    fn uses_are_the_papers() {
        let root = |power: f64| libm::pow(2.0, power / 2.0);
        for (rate, remove, uses) in [
            (3.0, 1.0, 1.315_789_473_684_210_6),
            (4.0, 0.25, 1.0),
            (root(3.0), 0.25, 1.0),
            (2.0, 0.25, 1.398_601_398_601_398_8),
            (root(1.0), 0.25, 2.132_333_939_932_379),
            (1.0, 0.25, 3.389_830_508_474_576_6),
            (root(-1.0), 0.25, 5.814_465_698_909_403_5),
            (0.5, 0.25, 11.764_705_882_352_942),
        ] {
            let got = Prequal { rate, remove, ..Prequal::DEFAULT }.uses(100).max(1.0);
            assert!((got - uses).abs() < 1e-12, "{rate} {got}");
        }
    }

    #[test]
    fn probes_are_owed_by_the_pick_and_spent_by_use() {
        let (members, slots, mut pool) = pool(200);
        let mut rng = Rng::new(1);
        let candidates = Candidates { slots: &slots, members: &members, excluded: Excluded(&[]), now: 0, log: None };
        assert!(pool.requests(&candidates, &mut rng).len() > 12);
        assert!(pool.requests(&candidates, &mut rng).is_empty());
        pool.pick(&candidates, &mut rng);
        assert_eq!(pool.requests(&candidates, &mut rng).len(), 3);
        pool.rules = Prequal::default();
        for slot in 0..40 {
            enter(&mut pool, &members, slot, 1.0, 1.0, 0);
        }
        assert_eq!(pool.probes.len(), 16);
        // (1 + 1) / ((1 - 16/100) 3 - 1) = 1.3 uses.
        assert!(pool.probes.iter().all(|probe| probe.uses == 1));
        for left in [14, 12, 10] {
            pool.pick(&candidates, &mut rng);
            assert_eq!(pool.probes.len(), left);
        }
    }
}
