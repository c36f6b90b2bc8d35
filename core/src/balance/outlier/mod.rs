//! Outlier detection: who is taken out of the picks, and when he comes back.
//!
//! The rules and numbers of Envoy's outlier detection and of gRPC A50, with a comparison of latencies (envoy#288) and a
//! recovery by single calls in the place of a fixed time (the probation of linkerd's breaker and of Finagle's accrual).

mod config;
mod rates;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use config::{Failures, Outliers, Recovery, Slowness, Streak, SuccessRate};

use super::histogram::Histogram;
use super::outcome::{Outcome, OutcomeKind};
use crate::limits;
use crate::rng::Rng;
use crate::time::micros;
use rates::Calls;

/// Watches the outcomes of every slot.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    settings: Outliers,
    /// By slot.
    records: Vec<Record>,
    /// By slot; empty when latencies are not compared.
    latencies: Vec<Histogram>,
    /// How many slots are in the view.
    present: u32,
    /// Those that are out, in the order in which they were taken out.
    out: Vec<u32>,
    /// When rates are compared next; none before the first outcome.
    compare_at: Option<u64>,
    /// Who was taken out or came back, and has not been told to the pools.
    moves: Vec<(u32, bool)>,
    rng: Rng,
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    is_present: bool,
    // In a row.
    errors: u32,
    gateway: u32,
    local: u32,
    // In this interval; the second one is of this side's failures when they are counted apart.
    calls: Calls,
    ways: Calls,
    /// How often it was taken out lately: one less for each interval in which it was in.
    times: u32,
    exile: Option<Exile>,
}

/// Of a slot that is out.
#[derive(Clone, Copy, Debug)]
struct Exile {
    since: u64,
    /// When it comes back, or is probed next.
    due: u64,
    /// Between the last probe and the next.
    gap: u64,
    /// Probes that went well, in a row.
    successes: u32,
    /// A probe that took longer did not go well, microseconds.
    bound: u64,
    /// Whether the host was asked to check it, and has told nothing.
    asked: bool,
}

impl Detector {
    pub(super) fn new(settings: Outliers, rng: Rng) -> Self {
        Self { settings, records: Vec::new(), latencies: Vec::new(), present: 0, out: Vec::new(), compare_at: None, moves: Vec::new(), rng }
    }

    /// An instance has entered the view, at a slot that is new to it or, if `anew` is false, was its before.
    pub(super) fn enter(&mut self, slot: u32, anew: bool) {
        let index = slot as usize;
        if index >= self.records.len() {
            self.records.resize(index.saturating_add(1), Record::default());
            if self.settings.latency.is_some() {
                self.latencies.resize(index.saturating_add(1), Histogram::new());
            }
        }
        let Some(record) = self.records.get_mut(index) else { return };
        self.present = self.present.saturating_add(u32::from(!record.is_present));
        if anew {
            *record = Record::default();
            if let Some(histogram) = self.latencies.get_mut(index) {
                histogram.clear();
            }
        }
        record.is_present = true;
    }

    /// An instance has left the view. If it comes back it is in.
    pub(super) fn leave(&mut self, slot: u32) {
        if let Some(record) = self.records.get_mut(slot as usize)
            && record.is_present
        {
            (record.is_present, record.exile) = (false, None);
            self.present = self.present.saturating_sub(1);
            self.out.retain(|other| *other != slot);
        }
    }

    /// Brings back a slot whose instance somebody else found to be well (Envoy: a successful active health check); false when
    /// it was not out.
    pub(super) fn heal(&mut self, slot: u32) -> bool {
        let is_out = self.records.get(slot as usize).is_some_and(|record| record.exile.is_some());
        if is_out {
            self.bring_back(slot);
            self.moves.retain(|(other, _)| *other != slot);
        }
        is_out
    }

    /// Who was taken out (true) or came back since the last time.
    pub(super) fn take_moves(&mut self) -> Vec<(u32, bool)> {
        core::mem::take(&mut self.moves)
    }

    pub(super) fn has_moves(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Learns from a call to a slot that began then and took so long, in microseconds.
    pub(super) fn learn(&mut self, slot: u32, outcome: &Outcome, latency: u64, began: u64, now: u64) {
        if self.compare_at.is_none() {
            self.compare_at = Some(now.saturating_add(micros(self.settings.interval)));
        }
        let split = self.settings.split;
        let Some(record) = self.records.get_mut(slot as usize).filter(|record| record.is_present) else { return };
        if let Some(exile) = record.exile
            && began >= exile.since
        {
            self.judge_probe(slot, outcome, latency, now);
            return;
        }
        let (errors, gateway, local) = match outcome.kind {
            OutcomeKind::Cancelled => return,
            // One that asks to be spared does what it can.
            OutcomeKind::Success | OutcomeKind::Throttled => (false, false, false),
            OutcomeKind::Error => (true, false, false),
            OutcomeKind::Gateway => (true, true, false),
            OutcomeKind::Connect | OutcomeKind::Timeout => (!split, !split, split),
        };
        let count = |streak: &mut u32, failed: bool| *streak = if failed { streak.saturating_add(1) } else { 0 };
        if split {
            count(&mut record.local, local);
            let calls = if local { &mut record.ways.bad } else { &mut record.ways.good };
            *calls = calls.saturating_add(1);
        }
        if !local {
            count(&mut record.errors, errors);
            count(&mut record.gateway, gateway);
            let calls = if errors { &mut record.calls.bad } else { &mut record.calls.good };
            *calls = calls.saturating_add(1);
            if let Some(histogram) = self.latencies.get_mut(slot as usize)
                && !errors
            {
                histogram.add(latency);
            }
        }
        if errors || local {
            self.judge_streaks(slot, now);
        }
    }

    /// Takes a slot out when one of its streaks is long enough. A streak that is starts again.
    fn judge_streaks(&mut self, slot: u32, now: u64) {
        let Outliers { errors, gateway, local, .. } = self.settings;
        let Some(record) = self.records.get_mut(slot as usize) else { return };
        let streaks = [(gateway, &mut record.gateway), (errors, &mut record.errors), (local, &mut record.local)];
        let mut reached = [None; 3];
        for (place, (rule, streak)) in reached.iter_mut().zip(streaks) {
            if let Some(rule) = rule
                && *streak >= rule.count
            {
                *streak = 0;
                *place = Some(rule.enforcing);
            }
        }
        for enforcing in reached.into_iter().flatten() {
            if self.enforces(enforcing) {
                self.take_out(slot, u64::MAX, now);
            }
        }
    }

    /// Draws only when there is something to draw.
    fn enforces(&mut self, percent: u32) -> bool {
        match percent {
            0 => false,
            1..100 => self.rng.below_u64(100) < u64::from(percent),
            _ => true,
        }
    }

    /// Takes a slot out, unless it is or too many are.
    fn take_out(&mut self, slot: u32, bound: u64, now: u64) {
        let out = self.out.len() as u64;
        // Compared before, so that a share that is not reached may be overshot by one.
        let is_room = out.saturating_mul(100) < u64::from(self.settings.most).saturating_mul(u64::from(self.present));
        if !(is_room || self.settings.always_one && out == 0) {
            return;
        }
        let Some(record) = self.records.get_mut(slot as usize).filter(|record| record.exile.is_none()) else { return };
        let (due, gap) = match self.settings.recovery {
            Recovery::Fixed { base, most, jitter } => {
                let (base, most) = (micros(base), micros(most));
                if u64::from(record.times).saturating_mul(base) < most.saturating_add(base) {
                    record.times = record.times.saturating_add(1);
                }
                let span = u64::from(record.times).saturating_mul(base).min(most.max(base));
                let jitter = micros(jitter);
                let drawn = if jitter > 0 { self.rng.below_u64(jitter.saturating_add(1)) } else { 0 };
                (now.saturating_add(span).saturating_add(drawn), 0)
            }
            Recovery::Probe { first, most, .. } => {
                let gap = micros(first).saturating_mul(1 << record.times.min(20)).min(micros(most).max(micros(first)));
                record.times = record.times.saturating_add(1).min(20);
                (now.saturating_add(gap), gap)
            }
        };
        record.exile = Some(Exile { since: now, due, gap, successes: 0, bound, asked: false });
        self.out.push(slot);
        self.moves.push((slot, true));
    }

    fn bring_back(&mut self, slot: u32) {
        let Some(record) = self.records.get_mut(slot as usize) else { return };
        // What it did before does not count any more.
        *record = Record { is_present: true, times: record.times, ..Record::default() };
        if let Some(histogram) = self.latencies.get_mut(slot as usize) {
            histogram.clear();
        }
        self.out.retain(|other| *other != slot);
        self.moves.push((slot, false));
    }

    /// Looks at a call to a slot that was out when it began.
    fn judge_probe(&mut self, slot: u32, outcome: &Outcome, latency: u64, now: u64) {
        let Recovery::Probe { most, successes, .. } = self.settings.recovery else { return };
        let Some(exile) = self.records.get_mut(slot as usize).and_then(|record| record.exile.as_mut()) else { return };
        if outcome.is_ok() && latency <= exile.bound {
            exile.successes = exile.successes.saturating_add(1);
            // The next may follow at once.
            exile.due = now;
            if exile.successes >= successes {
                self.bring_back(slot);
            }
        } else if outcome.kind != OutcomeKind::Cancelled {
            exile.successes = 0;
            exile.gap = exile.gap.saturating_mul(2).min(micros(most).max(exile.gap));
            exile.due = now.saturating_add(exile.gap);
        }
    }

    /// When a call may be sent to one that is out, if nothing happens before; `u64::MAX` when none may.
    pub(super) fn probe_at(&self) -> u64 {
        match self.settings.recovery {
            Recovery::Probe { checks: false, .. } => self.exiles().map(|(_, exile)| exile.due).min().unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }

    /// Those that are out and that the host is to check now, as far as they `can` be. One of which nothing was told since it was asked
    /// for is checked more rarely.
    pub(super) fn checks(&mut self, now: u64, mut can: impl FnMut(u32) -> bool) -> Vec<u32> {
        let Recovery::Probe { most, checks: true, .. } = self.settings.recovery else { return Vec::new() };
        let mut asked = Vec::new();
        for slot in self.out.iter().copied().filter(|slot| can(*slot)).take(limits::PROBES as usize) {
            let exile = self.records.get_mut(slot as usize).and_then(|record| record.exile.as_mut());
            let Some(exile) = exile.filter(|exile| exile.due <= now) else { continue };
            if exile.asked {
                exile.successes = 0;
                exile.gap = exile.gap.saturating_mul(2).min(micros(most).max(exile.gap));
            }
            (exile.asked, exile.due) = (true, now.saturating_add(exile.gap));
            asked.push(slot);
        }
        asked
    }

    /// A check of a slot that is out went well, and took so long; false when nobody asked for one.
    pub(super) fn checked(&mut self, slot: u32, latency: u64, now: u64) -> bool {
        let exile = self.records.get_mut(slot as usize).and_then(|record| record.exile.as_mut());
        let Some(exile) = exile.filter(|exile| exile.asked) else { return false };
        exile.asked = false;
        self.judge_probe(slot, &Outcome::of(OutcomeKind::Success), latency, now);
        true
    }

    /// Those that are out.
    pub(super) fn out(&self) -> &[u32] {
        &self.out
    }

    /// The first of those that are out to which a call may be sent and who `can` take it. The next call to any that was due
    /// is a gap later.
    pub(super) fn probe(&mut self, now: u64, mut can: impl FnMut(u32) -> bool) -> Option<u32> {
        let is_due = |record: &&mut Record| record.exile.is_some_and(|exile| exile.due <= now);
        for slot in self.out.iter().copied() {
            let Some(exile) = self.records.get_mut(slot as usize).filter(|record| is_due(record)).and_then(|record| record.exile.as_mut())
            else {
                continue;
            };
            exile.due = now.saturating_add(exile.gap);
            if can(slot) {
                return Some(slot);
            }
        }
        None
    }

    fn exiles(&self) -> impl Iterator<Item = (u32, Exile)> {
        self.out.iter().filter_map(|slot| Some((*slot, self.records.get(*slot as usize)?.exile?)))
    }

    /// When [`Detector::compare`] has something to do.
    pub(super) fn compare_at(&self) -> u64 {
        self.compare_at.unwrap_or(u64::MAX)
    }

    /// When somebody comes back by himself, or is to be checked.
    pub(super) fn deadline(&self) -> Option<u64> {
        let due = self.exiles().map(|(_, exile)| exile.due).min()?;
        if let Recovery::Probe { checks, .. } = self.settings.recovery {
            return checks.then_some(due);
        }
        let (next, interval) = (self.compare_at?, micros(self.settings.interval).max(1));
        // The first comparison that is not before.
        Some(next.saturating_add(due.saturating_sub(next).div_ceil(interval).saturating_mul(interval)))
    }

    /// Compares the rates and latencies of the interval that is over, and takes in those whose time is over. Intervals that
    /// nobody looked at are made up for.
    pub(super) fn compare(&mut self, now: u64) {
        let interval = micros(self.settings.interval).max(1);
        while let Some(at) = self.compare_at.filter(|at| *at <= now) {
            self.sweep(at);
            // Whoever is idle is in, and was not out lately: then there is nothing to make up for.
            let is_quiet = self.out.is_empty() && self.records.iter().all(|record| record.times == 0);
            let missed = if is_quiet { now.saturating_sub(at).div_euclid(interval) } else { 0 };
            self.compare_at = Some(at.saturating_add(missed.saturating_add(1).saturating_mul(interval)));
            if !is_quiet
                && matches!(self.settings.recovery, Recovery::Probe { .. })
                && now.saturating_sub(at) > LONG.saturating_mul(interval)
            {
                // Who is out by probes stays until he is probed, however long that takes.
                self.records.iter_mut().filter(|record| record.exile.is_none()).for_each(|record| record.times = 0);
                self.compare_at = Some(now.saturating_add(interval));
            }
        }
    }

    /// One comparison, at its time.
    fn sweep(&mut self, at: u64) {
        let as_grpc = self.settings.failures.is_some_and(|rule| rule.above);
        if !as_grpc {
            self.settle_times(at);
        }
        let Outliers { success_rate, failures, latency, split, .. } = self.settings;
        // Who is out is no measure of the others.
        let calls = |of: fn(&Record) -> Calls| -> Vec<(u32, Calls)> {
            let all = (0u32..).zip(&self.records).filter(|(_, record)| record.is_present && record.exile.is_none());
            all.map(|(slot, record)| (slot, of(record))).collect()
        };
        let tables = [Some(calls(|record| record.calls)), split.then(|| calls(|record| record.ways))];
        for table in tables.into_iter().flatten() {
            if let Some(rule) = success_rate {
                self.take_out_all(&rates::by_success_rate(&rule, &table), rule.enforcing, u64::MAX, at);
            }
            if let Some(rule) = failures {
                self.take_out_all(&rates::by_failures(&rule, &table), rule.enforcing, u64::MAX, at);
            }
        }
        if let Some(rule) = latency {
            let known = (0u32..).zip(self.records.iter().zip(&self.latencies));
            let judged =
                known.filter(|(_, (record, histogram))| record.is_present && record.exile.is_none() && histogram.total() >= rule.volume);
            let medians: Vec<(u32, u64)> = judged.filter_map(|(slot, (_, histogram))| Some((slot, histogram.quantile(0.5)?))).collect();
            let (slow, bound) = rates::by_latency(&rule, &medians);
            self.take_out_all(&slow, rule.enforcing, bound, at);
        }
        if as_grpc {
            self.settle_times(at);
        }
        for record in &mut self.records {
            (record.calls, record.ways) = Default::default();
        }
        self.latencies.iter_mut().filter(|histogram| histogram.total() > 0).for_each(Histogram::clear);
    }

    fn take_out_all(&mut self, slots: &[u32], enforcing: u32, bound: u64, at: u64) {
        for slot in slots {
            if self.enforces(enforcing) {
                self.take_out(*slot, bound, at);
            }
        }
    }

    /// Brings back those whose time is over, and lets those that were in forget that they were out. Envoy does it before the
    /// comparisons, gRPC after them.
    fn settle_times(&mut self, at: u64) {
        let back: Vec<u32> = match self.settings.recovery {
            Recovery::Fixed { .. } => self.exiles().filter(|(_, exile)| exile.due <= at).map(|(slot, _)| slot).collect(),
            Recovery::Probe { .. } => Vec::new(),
        };
        for record in self.records.iter_mut().filter(|record| record.exile.is_none()) {
            record.times = record.times.saturating_sub(1);
        }
        for slot in back {
            self.bring_back(slot);
        }
    }
}

/// So many intervals without a call are made up for as one.
const LONG: u64 = 64;
