//! What the outcomes decide beside the next pick: whether to try again, when to hedge, how many calls to let in.

use core::time::Duration;

use super::Balancer;
use super::hedge::Hedger;
use super::limit::Limiter;
use super::outcome::{Outcome, OutcomeKind};
use super::policy::Policy;
use super::retry::{Purse, Retry};
use crate::rng::Rng;
use crate::time::{Timestamp, micros};

/// The parts of the policy that look at outcomes, each while it is configured.
#[derive(Clone, Debug)]
pub(super) struct Feedback {
    retry: Option<(Retry, Purse)>,
    hedge: Option<Hedger>,
    limit: Option<Limiter>,
    /// How many calls were paid for from a budget and have not ended: they earn nothing.
    paid: u32,
    /// What is drawn here has no influence on picks, so it has a generator of its own.
    rng: Rng,
}

/// Keeps the generator of this part apart from that of the picks.
const STREAM: u64 = 0x7265_7472_6965_7321;

impl Feedback {
    /// None when the policy has no such part.
    pub(super) fn new(policy: &Policy, seed: u64) -> Option<Self> {
        let mut rng = Rng::new(seed ^ STREAM);
        let feedback = Self {
            retry: policy.after.retry.map(|retry| (retry, Purse::new(retry.budget))),
            hedge: policy.after.hedge.map(Hedger::new),
            limit: policy.after.limit.map(|limit| Limiter::new(limit, &mut rng)),
            paid: 0,
            rng,
        };
        let is_on = feedback.retry.is_some() || feedback.hedge.is_some() || feedback.limit.is_some();
        is_on.then_some(feedback)
    }

    /// Learns from a call that took so long by our own clock; as many as `in_flight` were out, itself included.
    pub(super) fn learn(&mut self, outcome: &Outcome, took: u64, in_flight: u32, now: u64) {
        let latency = outcome.latency.map_or(took, micros);
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
    /// Whether a call that failed may be tried again now. What a retry costs is taken from the budget of the policy's
    /// `retry`; ask once for each. True while the policy has no such part.
    pub fn may_retry(&mut self, now: Timestamp) -> bool {
        self.observe(now);
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
        self.limit().is_none_or(|limit| self.tickets.len() < limit as usize)
    }

    /// How many calls the policy's `limit` lets out at once now; none while the policy has no such part.
    pub fn limit(&self) -> Option<u32> {
        Some(self.feedback.as_ref()?.limit.as_ref()?.limit())
    }
}
