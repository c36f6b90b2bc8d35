//! What follows from outcomes: who is taken out of the picks, whether to try again, when to hedge, how many calls to let in.

use alloc::vec::Vec;
use core::time::Duration;

use super::Balancer;
use super::breaker::Breaker;
use super::hedge::Hedger;
use super::hold::Holds;
use super::limit::Limiter;
use super::members::{EJECTED, HELD};
use super::outcome::{Outcome, OutcomeKind};
use super::outlier::Detector;
use super::pick::Request;
use super::policy::Policy;
use super::reports::Weights;
use super::retry::{Purse, Retry};
use super::trip::Circuit;
use crate::model::{Availability, Handle};
use crate::rng::Rng;
use crate::time::{Timestamp, micros};

/// The parts of the policy that look at outcomes, each while it is configured.
#[derive(Clone, Debug)]
pub(super) struct Feedback {
    outliers: Option<Detector>,
    holds: Option<Holds>,
    retry: Option<(Retry, Purse)>,
    hedge: Option<Hedger>,
    limit: Option<Limiter>,
    pub(super) reports: Option<Weights>,
    circuit: Option<Circuit>,
    /// How many calls were paid for from a budget and have not ended: they earn nothing.
    paid: u32,
    /// What is drawn here has no influence on picks, so it has a generator of its own; so has outlier detection.
    rng: Rng,
}

/// Keeps the generator of this part apart from that of the picks.
const STREAM: u64 = 0x7265_7472_6965_7321;
const OUTLIERS: u64 = 0x6f75_746c_6965_7273;

impl Feedback {
    /// None when the policy has no such part.
    pub(super) fn new(policy: &Policy, seed: u64) -> Option<Self> {
        let mut rng = Rng::new(seed ^ STREAM);
        let feedback = Self {
            outliers: policy.after.outliers.map(|outliers| Detector::new(outliers, Rng::new(seed ^ OUTLIERS))),
            holds: policy.after.hold.map(Holds::new),
            retry: policy.after.retry.map(|retry| (retry, Purse::new(retry.budget))),
            hedge: policy.after.hedge.map(Hedger::new),
            limit: policy.after.limit.map(|limit| Limiter::new(limit, &mut rng)),
            reports: policy.after.reports.map(Weights::new),
            circuit: policy.after.breaker.and_then(|breaker| breaker.trip).map(Circuit::new),
            paid: 0,
            rng,
        };
        let Self { outliers, holds, retry, hedge, limit, reports, circuit, .. } = &feedback;
        let is_on = circuit.is_some()
            || reports.is_some()
            || outliers.is_some()
            || holds.is_some()
            || retry.is_some()
            || hedge.is_some()
            || limit.is_some();
        is_on.then_some(feedback)
    }

    /// An instance has entered the view, at a slot that is new to it or not.
    pub(super) fn enter(&mut self, slot: u32, anew: bool) {
        if let Some(outliers) = &mut self.outliers {
            outliers.enter(slot, anew);
        }
    }

    /// The registry says that an instance is well again: true when outlier detection had taken it out, which is over.
    pub(super) fn heal(&mut self, slot: u32) -> bool {
        self.outliers.as_mut().is_some_and(|outliers| outliers.heal(slot))
    }

    /// An instance has left the view; if it comes back it is in.
    pub(super) fn leave(&mut self, slot: u32) {
        if let Some(outliers) = &mut self.outliers {
            outliers.leave(slot);
        }
        if let Some(holds) = &mut self.holds {
            holds.forget(slot);
        }
        if let Some(reports) = &mut self.reports {
            reports.forget(slot);
        }
    }

    /// When something happens that no call brings about.
    fn alarm(&self) -> u64 {
        let compared = self.outliers.as_ref().map_or(u64::MAX, Detector::compare_at);
        let trial = self.circuit.as_ref().map_or(u64::MAX, Circuit::wake);
        compared.min(self.holds.as_ref().and_then(Holds::wake).unwrap_or(u64::MAX)).min(trial)
    }

    fn probe_at(&self) -> u64 {
        if self.circuit.as_ref().is_some_and(Circuit::is_half_open) {
            return 0;
        }
        self.outliers.as_ref().map_or(u64::MAX, Detector::probe_at)
    }

    /// Whether every pick is refused, because the service fails.
    pub(super) fn is_open(&self) -> bool {
        self.circuit.as_ref().is_some_and(Circuit::is_open)
    }

    /// When it has something to do, and when it wants a call sent to an instance that is out.
    pub(super) fn timers(&self) -> (u64, u64) {
        (self.alarm(), self.probe_at())
    }

    /// When an instance comes back by itself.
    pub(super) fn deadline(&self) -> Option<u64> {
        let back = self.outliers.as_ref().and_then(Detector::deadline);
        let trial = self.circuit.as_ref().map(Circuit::wake).filter(|wake| *wake < u64::MAX);
        [back, self.holds.as_ref().and_then(Holds::wake), trial].into_iter().flatten().min()
    }

    /// Learns from a call that took so long, in microseconds; as many as `in_flight` were out, itself included.
    fn learn(&mut self, outcome: &Outcome, latency: u64, in_flight: u32, now: u64) {
        let counts = self.paid == 0;
        self.paid = self.paid.saturating_sub(1);
        if let Some((_, purse)) = &mut self.retry
            && outcome.kind != OutcomeKind::Cancelled
        {
            purse.earn(outcome.kind.is_failure(), counts, now);
        }
        if let Some(hedge) = &mut self.hedge
            && outcome.is_ok()
        {
            hedge.learn(latency, counts, now);
        }
        if let Some(limit) = &mut self.limit {
            limit.learn(outcome, latency, in_flight, &mut self.rng);
        }
    }
}

impl Balancer {
    /// Learns from a call to a slot that began then.
    #[inline(never)]
    pub(super) fn reflect(&mut self, slot: u32, began: u64, outcome: &Outcome) {
        let (now, in_flight) = (self.now.as_micros(), self.members.picks().saturating_add(1));
        let Some(feedback) = &mut self.feedback else { return };
        let latency = outcome.latency.map_or_else(|| now.saturating_sub(began), micros);
        feedback.learn(outcome, latency, in_flight, now);
        if let (Some(reports), Some(load)) = (&mut feedback.reports, &outcome.load)
            && self.members.availability(slot).is_some()
        {
            reports.learn(slot, load, now);
            self.wake = self.wake.min(reports.wake());
            self.calm.end_by(self.wake);
        }
        let mut is_moved = false;
        if let Some(outliers) = &mut feedback.outliers {
            outliers.learn(slot, outcome, latency, began, now);
            is_moved = outliers.has_moves();
        }
        let is_switched = feedback.circuit.as_mut().is_some_and(|circuit| circuit.learn(outcome, began, now));
        if is_switched && feedback.is_open() {
            self.members.tell(|stages| &mut stages.tripped);
        }
        let is_held = outcome.kind.is_failure()
            && self.members.availability(slot).is_some()
            && feedback.holds.as_mut().is_some_and(|holds| holds.learn(slot, outcome, now));
        if is_moved || is_held {
            let held = is_held.then_some((slot, true));
            self.relocate(held.as_slice());
        } else if self.probe_at < u64::MAX || self.alarm == u64::MAX || !outcome.is_ok() {
            // A success of one that is in changes no time but that of the first comparison.
            self.alarm = feedback.alarm();
            if self.probe_at < u64::MAX {
                self.probe_at = feedback.probe_at();
            }
            self.calm.end_by(self.alarm.min(self.probe_at));
        }
        if is_switched {
            self.switch();
        }
    }

    /// Lets no pick through while the circuit is open, and the first when it is half open.
    #[cold]
    #[inline(never)]
    fn switch(&mut self) {
        self.stir();
        let Some(feedback) = &self.feedback else { return };
        let breaker = self.policy().after.breaker.unwrap_or(Breaker::NONE).clamped();
        self.breaker.total = if feedback.is_open() { 0 } else { breaker.total };
        (self.alarm, self.probe_at) = feedback.timers();
    }

    /// Does what is due without a call: rates are compared, and who was held is let go.
    #[cold]
    #[inline(never)]
    pub(super) fn ring(&mut self) {
        let now = self.now.as_micros();
        let mut freed = Vec::new();
        if let Some(feedback) = &mut self.feedback {
            if let Some(outliers) = &mut feedback.outliers {
                outliers.compare(now);
            }
            if let Some(holds) = &mut feedback.holds {
                freed.extend(core::iter::from_fn(|| holds.release(now)).map(|slot| (slot, false)));
            }
            if let Some(circuit) = &mut feedback.circuit {
                circuit.advance(now);
            }
        }
        self.relocate(&freed);
        self.switch();
    }

    /// Tells the pools who is held or let go, and whom outlier detection has taken out or brought back.
    #[cold]
    #[inline(never)]
    fn relocate(&mut self, held: &[(u32, bool)]) {
        self.stir();
        let Some(feedback) = &mut self.feedback else { return };
        let ejected = feedback.outliers.as_mut().map(Detector::take_moves).unwrap_or_default();
        (self.alarm, self.probe_at) = feedback.timers();
        let moves = ejected.iter().map(|(slot, out)| (*slot, EJECTED, *out)).chain(held.iter().map(|(slot, out)| (*slot, HELD, *out)));
        let mut slots = Vec::new();
        for (slot, reason, out) in moves {
            self.tiers.touch(&mut self.members, slot);
            self.members.set_out(slot, reason, out);
            match (reason, out) {
                (EJECTED, true) => self.members.tell(|stages| &mut stages.ejected),
                (EJECTED, false) => {
                    self.members.tell(|stages| &mut stages.restored);
                    self.members.forgive(slot);
                }
                (_, true) => self.members.tell(|stages| &mut stages.held),
                (_, false) => {}
            }
            slots.push(slot);
        }
        crate::order::sort_slots(&mut slots, &mut |one, other| self.members.compare(one, other));
        slots.dedup();
        if !slots.is_empty() {
            self.tiers.settle(&mut self.members, &slots);
        }
    }

    /// An instance that is out and to which this call may go, to find out whether it is well again.
    #[cold]
    #[inline(never)]
    pub(super) fn divert(&mut self, request: &Request<'_>) -> Option<u32> {
        let (members, now, most) = (&self.members, self.now.as_micros(), self.breaker.instance);
        if let Some(circuit) = self.feedback.as_mut()?.circuit.as_mut().filter(|circuit| circuit.is_half_open()) {
            circuit.attempt(now);
            self.switch();
            return None;
        }
        if self.tiers.is_bound(members, request) {
            return None;
        }
        let feedback = self.feedback.as_mut()?;
        let scope = self.tiers.scope(members, request);
        let can = |slot| {
            members.weight(slot) > 0
                && scope.as_ref().is_none_or(|scope| scope(slot))
                && members.availability(slot).is_some_and(|availability| availability != Availability::Unavailable)
                && !members.is_out(slot, HELD)
                && members.in_flight(slot).is_some_and(|count| count < most)
                && members.handle(slot).is_some_and(|handle| !request.exclude.contains(&handle))
        };
        let slot = feedback.outliers.as_mut()?.probe(now, can);
        self.probe_at = feedback.probe_at();
        drop(scope);
        if slot.is_some() {
            self.members.tell(|stages| &mut stages.probes);
        }
        slot
    }

    /// Those that are out and that the host is to check now.
    pub(super) fn checks(&mut self) -> Vec<Handle> {
        let (members, now) = (&self.members, self.now.as_micros());
        let Some(outliers) = self.feedback.as_mut().and_then(|feedback| feedback.outliers.as_mut()) else { return Vec::new() };
        let can = |slot| members.serves(slot) && members.weight(slot) > 0 && !members.is_out(slot, HELD);
        outliers.checks(now, can).into_iter().filter_map(|slot| members.handle(slot)).collect()
    }

    /// A check of an instance that is out went well.
    pub(super) fn checked(&mut self, handle: Handle, latency: Duration) -> bool {
        let (members, now) = (&self.members, self.now.as_micros());
        let Some(outliers) = self.feedback.as_mut().and_then(|feedback| feedback.outliers.as_mut()) else { return false };
        let slot = outliers.out().iter().copied().find(|slot| members.handle(*slot) == Some(handle));
        let is_used = slot.is_some_and(|slot| outliers.checked(slot, micros(latency), now));
        if outliers.has_moves() {
            self.relocate(&[]);
        }
        is_used
    }

    /// The choice among those whose breaker leaves room, when the first choice has none.
    #[cold]
    #[inline(never)]
    pub(super) fn spill(&mut self, request: &Request<'_>) -> Option<u32> {
        let (members, most) = (&self.members, self.breaker.instance);
        let full = members.order().iter().filter(|slot| members.in_flight(**slot).is_some_and(|count| count >= most));
        let mut exclude: Vec<_> = full.filter_map(|slot| members.handle(*slot)).collect();
        exclude.extend(request.exclude);
        let request = Request { exclude: &exclude, ..*request };
        let slot = self.tiers.choose(&mut self.members, &request, &mut self.rng, self.now.as_micros())?;
        self.members.tell(|stages| &mut stages.spilled);
        Some(slot)
    }

    /// Whether somebody could be given the call, were there room.
    pub(super) fn is_choked(&self, request: &Request<'_>) -> bool {
        let (members, tiers) = (&self.members, self.tiers.serving(request));
        let scope = self.tiers.scope(members, request);
        let serves = |slot: u32, found: Availability| found != Availability::Unavailable || tiers.is_in_panic(members, slot);
        members.order().iter().any(|slot| {
            members.weight(*slot) > 0
                && scope.as_ref().is_none_or(|scope| scope(*slot))
                && members.availability(*slot).is_some_and(|found| serves(*slot, found))
                && members.handle(*slot).is_some_and(|handle| !request.exclude.contains(&handle))
        })
    }

    /// Whether a call that failed may be tried again now. What a retry costs is taken from the budget of the policy's
    /// `retry`; ask once for each. True while the policy has no such part. False while as many retries are out as its `breaker`
    /// lets be.
    pub fn may_retry(&mut self, now: Timestamp) -> bool {
        self.observe(now);
        let may = self.has_room_for_retry() && self.affords_retry();
        self.members.tell(|stages| if may { &mut stages.retries } else { &mut stages.retries_denied });
        may
    }

    /// Whether the budget lets a call be tried again; pays for it.
    fn affords_retry(&mut self) -> bool {
        let now = self.now.as_micros();
        let Some(feedback) = &mut self.feedback else { return true };
        let Some((_, purse)) = &mut feedback.retry else { return true };
        let may = purse.spend(now);
        feedback.paid = feedback.paid.saturating_add(u32::from(may));
        may
    }

    /// How long to wait before a retry, the first being 1; what the instance asked (`retry_after`) goes before it. None when
    /// the call was tried as often as the policy's `retry` lets it. No time at all while the policy has no such part.
    pub fn retry_delay(&mut self, retry: u32) -> Option<Duration> {
        let Some(feedback) = &mut self.feedback else { return Some(Duration::ZERO) };
        let Some((settings, _)) = &feedback.retry else { return Some(Duration::ZERO) };
        settings.delay(retry, &mut feedback.rng)
    }

    /// How long to wait for an answer before the call is sent to another instance as well. None while too few latencies are
    /// known, when too many calls were hedged, and while the policy has no `hedge`.
    pub fn hedge_delay(&mut self, now: Timestamp) -> Option<Duration> {
        self.observe(now);
        let now = self.now.as_micros();
        self.feedback.as_mut()?.hedge.as_mut()?.delay(now)
    }

    /// Whether a call may be hedged now, its delay being over. What a hedge costs is taken from the budget of the policy's
    /// `hedge`; ask once for each. False while the policy has no such part.
    pub fn may_hedge(&mut self, now: Timestamp) -> bool {
        self.observe(now);
        let may = self.has_room_for_retry() && self.affords_hedge();
        self.members.tell(|stages| if may { &mut stages.hedges } else { &mut stages.hedges_denied });
        may
    }

    /// Whether the budget lets a call be sent twice; pays for it.
    fn affords_hedge(&mut self) -> bool {
        let now = self.now.as_micros();
        let Some(feedback) = &mut self.feedback else { return false };
        let may = feedback.hedge.as_mut().is_some_and(|hedge| hedge.spend(now));
        feedback.paid = feedback.paid.saturating_add(u32::from(may));
        may
    }

    /// Whether one call more may go out now, by the policy's `limit`. It is for the host to ask before a pick, and to refuse
    /// or queue the call. True while the policy has no such part.
    pub fn admit(&mut self, now: Timestamp) -> bool {
        self.observe(now);
        let may = self.limit().is_none_or(|limit| self.members.picks() < limit);
        if !may {
            self.members.tell(|stages| &mut stages.turned_away);
        }
        may
    }

    /// How many calls the policy's `limit` lets out at once now; none while the policy has no such part.
    pub fn limit(&self) -> Option<u32> {
        Some(self.feedback.as_ref()?.limit.as_ref()?.limit())
    }
}
