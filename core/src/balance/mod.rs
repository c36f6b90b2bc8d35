//! Which one: from the instances of a view to the instance a call should go to.
//!
//! # The pipeline
//! Data goes through these parts in this order; each is a function of what is left, the request and the generator.
//!
//! | part | file | what it does |
//! |---|---|---|
//! | view | `members` | the instances that match the query, sorted by service and id; changes are merged in, so that survivors keep their counters and their turn |
//! | subset, slow start | `subset`, `slow_start` | which of them this client uses, and how much of their weight those have that are new |
//! | filter | `filter` | leaves out what the request excludes |
//! | labels, sticky | `labels`, `sticky`, `groups` | the instances that have the labels the request asks for, or who serves it instead; of them who is to be tried first |
//! | prioritise | `tiers`, `levels`, `zones` | available, else degraded, else draining; how much goes to which level and locality; never disabled, never of weight 0 |
//! | pick | `policy/*` | one policy a file |
//! | tickets | `tickets` | remembers the pick until it is finished or reaped |
//! | feedback | `outcome`, `signals`, `stats`, `stages` | what became of it, and what is learnt from it; what each part did |
//! | after | `feedback`, `outlier`, `hold`, `breaker`, `trip`, `retry`, `hedge`, `limit`, `reports` | what else follows from it: who is taken out of the picks, whether to try again, to hedge, to let a call in, what an instance weighs by its own report |

mod after;
mod before;
mod breaker;
mod calm;
mod config;
mod decay;
mod explain;
mod feedback;
mod filter;
mod follow;
mod groups;
mod hedge;
mod histogram;
mod hold;
mod labels;
mod levels;
mod limit;
mod members;
mod metrics;
mod outcome;
mod outlier;
mod pick;
mod policy;
mod reports;
mod retry;
mod settings;
mod signals;
mod slow_start;
mod stages;
mod stats;
mod sticky;
mod subset;
#[cfg(test)]
mod tests;
mod tickets;
mod tiers;
mod trace;
mod trip;
mod zones;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

pub use after::After;
pub use before::Before;
pub use breaker::Breaker;
pub use config::Options;
pub use explain::{Explanation, LeftOut, Looked, Share};
pub use hedge::Hedge;
pub use hold::Hold;
pub use labels::{LabelFallback, LabelSelector, Labels};
pub use levels::Levels;
pub use limit::{Aimd, Gradient, Gradient2, Limit, Vegas};
pub use outcome::{Load, Outcome, OutcomeKind, is_repeatable};
pub use outlier::{Failures, Outliers, Recovery, Slowness, Streak, SuccessRate};
pub use pick::{Pick, Request};
pub use policy::{
    Cost, Edf, First, Generator, HashKey, Jump, Ketama, KetamaLayout, Layout, Maglev, Policy, Prequal, Preset, Rendezvous, Ring, RingHash,
    Sample, Score, Stride, Unknown,
};
pub use reports::{Reports, Silent};
pub use retry::{Budget, Retry};
pub use slow_start::{Ramp, SlowStart};
pub use stages::Stages;
pub use stats::{InstanceStats, Stats, Tally};
pub use sticky::{Status, Sticky};
pub use subset::{Subset, SubsetKind};
pub use trace::Replay;
pub use trip::Trip;
pub use zones::{Localities, LocalityMode, LocalityScope};

use crate::error::{Code, Error};
use crate::limits;
use crate::model::Handle;
use crate::query::{HealthFilter, Query};
use crate::registry::View;
use crate::rng::Rng;
use crate::time::{Timestamp, micros};
use crate::value::{Fields, Value};
use calm::Calm;
use feedback::Feedback;
use members::{Arrival, Members};
use outcome::Ending;
use slow_start::Warmup;
use tickets::Tickets;
use tiers::Tiers;
use trace::Trace;

/// Chooses instances for calls, among those that match a query.
///
/// It has one owner: give each worker thread its own. The same changes, requests, outcomes and times in the same
/// order give the same picks for the same seed, in every language.
///
/// - **Getters**: [`query`](Self::query), [`policy`](Self::policy), [`options`](Self::options), [`len`](Self::len),
///   [`in_flight`](Self::in_flight), [`stats`](Self::stats), [`metrics`](Self::metrics), [`explain`](Self::explain),
///   [`explained`](Self::explained), [`trace`](Self::trace), [`limit`](Self::limit).
/// - **Mutators that take `now`**: [`pick`](Self::pick), [`finish`](Self::finish),
///   [`finish_and_pick`](Self::finish_and_pick), [`next`](Self::next), [`probe_requests`](Self::probe_requests),
///   [`probed`](Self::probed), [`may_retry`](Self::may_retry), [`retry_delay`](Self::retry_delay),
///   [`hedge_delay`](Self::hedge_delay), [`may_hedge`](Self::may_hedge), [`admit`](Self::admit). A time that runs backwards counts as the latest one seen. Each
///   first reaps what is due.
/// - **Polling**: [`follow`](Self::follow) takes over what changed in the registry; [`deadline`](Self::deadline) and
///   [`advance`](Self::advance) reap picks that were never finished.
/// - **Persistence**: none; a balancer is made anew from its query, and counts afresh.
#[derive(Clone, Debug)]
pub struct Balancer {
    query: Query,
    options: Options,
    view: View,
    members: Members,
    tiers: Tiers,
    tickets: Tickets,
    rng: Rng,
    /// None when the policy has no part that needs it.
    feedback: Option<Box<Feedback>>,
    breaker: Breaker,
    /// When the feedback has something to do, and when it wants a call sent to an instance that is out; microseconds.
    alarm: u64,
    /// None when the policy has no slow start; and when weights change next, microseconds.
    warmup: Option<Box<Warmup>>,
    wake: u64,
    probe_at: u64,
    /// Until when there is nothing to do but to choose and to count; see [`calm`].
    calm: Calm,
    /// Whether the pick on its way has made its first choice, which has no room.
    is_choice_full: bool,
    now: Timestamp,
    backwards: u64,
    trace: Option<Box<Trace>>,
}

/// A change of the view.
#[derive(Clone, Copy)]
enum Change<'a> {
    Put(Arrival<'a>),
    Remove { service: &'a str, id: &'a str },
}

impl Balancer {
    /// A balancer for the instances that match a query. It knows none until it follows a registry.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] for an option or a setting of the policy out of range, what [`Generator::validate`] and what [`Query::validate`] returns.
    pub fn new(query: Query, policy: Policy, options: Options) -> Result<Self, Error> {
        options.validate()?;
        policy.before.validate()?;
        policy.after.validate()?;
        policy.generator.validate()?;
        Ok(Self {
            view: View::new(widened(&query))?,
            query,
            trace: (options.trace > 0 || options.explain).then(|| Box::new(Trace::new(options))),
            options,
            breaker: policy.after.breaker.unwrap_or(Breaker::NONE).clamped(),
            alarm: u64::MAX,
            warmup: policy.before.slow_start.map(|settings| Box::new(Warmup::new(settings))),
            wake: u64::MAX,
            probe_at: u64::MAX,
            calm: Calm::default(),
            is_choice_full: false,
            feedback: Feedback::new(&policy, options.seed).map(Box::new),
            members: Members::new(policy.generator.rules()),
            tiers: Tiers::new(policy, options.seed),
            tickets: Tickets::new(options.reap_after, options.seed),
            rng: Rng::new(options.seed),
            now: Timestamp::ZERO,
            backwards: 0,
        })
    }

    /// Makes one from `{query, policy?, options?}`, the policy by its name or as its parts, `adaptive` when there is none.
    ///
    /// # Errors
    /// As [`Balancer::new`], [`Query::from_value`], [`Policy::from_value`] and [`Options::from_value`];
    /// [`Code::MissingField`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["query", "policy", "options"])?;
        let query = fields.value("query").ok_or_else(|| Error::new(Code::MissingField, "query"))?;
        let query = Query::from_value(query).map_err(|error| error.within("query"))?;
        let policy = fields.value("policy").map_or_else(|| Ok(Policy::default()), Policy::from_value)?;
        let options = match fields.value("options") {
            Some(options) => Options::from_value(options).map_err(|error| error.within("options"))?,
            None => Options::default(),
        };
        Self::new(query, policy, options)
    }

    /// Who is asked for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// How an instance is chosen.
    pub fn policy(&self) -> &Policy {
        self.tiers.policy()
    }

    /// What it was told beside.
    pub fn options(&self) -> Options {
        self.options
    }

    /// How many instances match the query, whatever their availability and weight.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no instance matches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many picks are not finished.
    pub fn in_flight(&self) -> usize {
        self.members.picks() as usize
    }

    /// What it has done so far, by instance. Costs a look at each.
    pub fn stats(&self) -> Stats {
        let now = self.now.as_micros();
        let instance = |slot: &u32| {
            let (service, id) = self.members.name(*slot);
            Some(InstanceStats {
                handle: self.members.handle(*slot)?,
                service: service.into(),
                id: id.into(),
                availability: self.members.availability(*slot)?,
                in_flight: self.members.in_flight(*slot)?,
                tally: self.members.tally(*slot),
                ejected: self.members.is_out(*slot, members::EJECTED),
                held: self.members.is_out(*slot, members::HELD),
                expected: self.members.expected(*slot, now),
                success: self.members.success(*slot, now),
            })
        };
        Stats {
            policy: self.policy().name().into(),
            in_flight: self.members.picks(),
            tally: self.members.total(),
            backwards: self.backwards,
            stages: self.members.stages,
            instances: self.members.order().iter().filter_map(instance).collect(),
        }
    }

    /// What it has done so far as OpenMetrics text; see [`Stats::open_metrics`].
    pub fn metrics(&self) -> String {
        self.stats().open_metrics()
    }

    /// Chooses the instance a call should go to and counts the call as in flight there until it is finished.
    ///
    /// It is never an excluded instance, one that is disabled or one of weight 0, and one that is unavailable only when the policy
    /// has `levels` and its level panics. Allocates only when more picks
    /// are in flight than ever before, for the first pick after a change and, with `round-robin`, for an exclusion.
    ///
    /// # Errors
    /// [`Code::NoInstances`], [`Code::NoneAvailable`], [`Code::AllExcluded`]; [`Code::LimitExceeded`] for a `key` or an
    /// `exclude` that is too long, for `picks` when 1 048 576 are unfinished, and for what the policy's `breaker` bounds.
    #[inline]
    pub fn pick(&mut self, request: &Request<'_>, now: Timestamp) -> Result<Pick, Error> {
        if request.is_plain()
            && let Some(pick) = self.pick_calmly(request.key, now)
        {
            return Ok(pick);
        }
        // As a copy: what is never pointed at need not be in memory.
        self.pick_with_care(*request, now)
    }

    #[inline(never)]
    fn pick_with_care(&mut self, request: Request<'_>, now: Timestamp) -> Result<Pick, Error> {
        self.observe(now);
        let told = self.told(&request, now);
        // The errors are made elsewhere, lest each pick pay for their making.
        let answer = match self.choose(&request) {
            Some(pick) => Ok(pick),
            None => Err(self.refuse(&request)),
        };
        if let Some(trace) = &mut self.trace {
            trace.pick(&request, answer.as_ref().copied().map_err(Error::code), now, told);
        }
        self.calm_down();
        answer
    }

    #[inline]
    fn choose(&mut self, request: &Request<'_>) -> Option<Pick> {
        let is_choice_full = core::mem::take(&mut self.is_choice_full);
        if !request.is_within_limits() || self.is_full() || self.is_full_of_retries(request) {
            return None;
        }
        let now = self.now.as_micros();
        let slot = if now >= self.probe_at { self.divert(request) } else { None };
        let slot = match slot {
            Some(slot) => slot,
            None if is_choice_full => self.spill(request)?,
            None => {
                let slot = self.tiers.choose(&mut self.members, request, &mut self.rng, now)?;
                let has_room = self.members.in_flight(slot).is_some_and(|count| count < self.breaker.instance);
                if has_room { slot } else { self.spill(request)? }
            }
        };
        let out = self.members.picks();
        let handle = self.members.begin(slot, now)?;
        Some(Pick { handle, token: self.tickets.issue(slot, request.is_retry(), now, out) })
    }

    /// Whether as many picks are out as may be.
    #[inline]
    fn is_full(&self) -> bool {
        // No more than the table of tickets holds.
        self.members.picks() >= self.breaker.total
    }

    /// Whether the call was tried before, and as many of those are out as may be.
    #[inline]
    fn is_full_of_retries(&self, request: &Request<'_>) -> bool {
        request.is_retry() && !self.has_room_for_retry()
    }

    /// Whether the breaker lets a call that was tried before go out.
    fn has_room_for_retry(&self) -> bool {
        self.tickets.retries() < self.breaker.retries_of(self.members.picks())
    }

    /// Why nothing was chosen, and counts it.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, request: &Request<'_>) -> Error {
        let error = self.refusal(request);
        self.members.tell_refusal(error.code());
        error
    }

    /// Why nothing was chosen.
    #[cold]
    #[inline(never)]
    fn refusal(&self, request: &Request<'_>) -> Error {
        if let Err(error) = request.validate() {
            error
        } else if self.members.picks() as usize >= limits::PICKS_IN_FLIGHT {
            Error::too_large("picks", limits::PICKS_IN_FLIGHT as u64)
        } else if self.feedback.as_ref().is_some_and(|feedback| feedback.is_open()) {
            Error::new(Code::NoneAvailable, "breaker.trip").message("the service failed too often, and is left alone for a while")
        } else if self.is_full() {
            Error::too_large("breaker.total", u64::from(self.breaker.total))
        } else if self.is_full_of_retries(request) {
            Error::too_large("breaker.retries", u64::from(self.breaker.retries_of(self.members.picks())))
        } else if self.is_empty() {
            Error::new(Code::NoInstances, "").message("no instance matches the query")
        } else if self.breaker.instance < u32::MAX && self.is_choked(request) {
            Error::too_large("breaker.instance", u64::from(self.breaker.instance))
        } else {
            self.tiers.refusal(request)
        }
    }

    /// Tells what became of a pick. False when the token is unknown, was finished before or was reaped: then nothing
    /// is counted.
    #[inline]
    pub fn finish(&mut self, token: u64, outcome: Outcome, now: Timestamp) -> bool {
        match self.finish_quietly(token, Ending::new(outcome.kind, outcome.latency), now) {
            Some(known) => known,
            None => self.finish_with_care(token, &outcome, now),
        }
    }

    #[inline(never)]
    fn finish_with_care(&mut self, token: u64, outcome: &Outcome, now: Timestamp) -> bool {
        if let Some(trace) = &mut self.trace {
            trace.finish(token, *outcome, now);
        }
        self.observe(now);
        let Some((slot, began)) = self.tickets.redeem(token) else { return false };
        let now = self.now.as_micros();
        self.members.end(slot, began, Some(Ending::new(outcome.kind, outcome.latency)), now);
        if self.feedback.is_some() {
            self.reflect(slot, began, outcome);
        }
        true
    }

    /// [`finish`](Self::finish), then [`pick`](Self::pick): one crossing of a language border for one call.
    ///
    /// # Errors
    /// As [`pick`](Self::pick). The finish has happened all the same.
    #[inline]
    pub fn finish_and_pick(&mut self, token: u64, outcome: Outcome, request: &Request<'_>, now: Timestamp) -> Result<Pick, Error> {
        self.finish(token, outcome, now);
        self.pick(request, now)
    }

    /// Whom to ask how it is, for the picks made since the last time, and of those that outlier detection has taken out whom it is time to
    /// check: instances for the host to probe and to tell of with [`probed`](Self::probed). Nobody for policies that need no probes; at
    /// most 64 of each.
    pub fn probe_requests(&mut self, now: Timestamp) -> Vec<Handle> {
        self.observe(now);
        if let Some(trace) = &mut self.trace {
            trace.probe_requests(now);
        }
        let mut asked = self.tiers.probe_requests(&mut self.members, &mut self.rng, self.now.as_micros());
        asked.extend(self.checks());
        asked
    }

    /// Tells what a probe brought: how many requests the instance has in flight, of all its clients, and the latency it
    /// expects of one more. False when that is of no use: the policy needs no probes, or the instance is neither among those
    /// that calls go to nor one that was to be checked. Costs a look at each of those.
    pub fn probed(&mut self, handle: Handle, rif: u32, latency: Duration, now: Timestamp) -> bool {
        self.observe(now);
        if let Some(trace) = &mut self.trace {
            trace.probed(handle, rif, latency, now);
        }
        let is_used = self.tiers.probed(&self.members, handle, f64::from(rif), micros(latency) as f64, self.now.as_micros());
        self.checked(handle, latency) || is_used
    }

    /// When the oldest unfinished pick is reaped, or an instance that is out comes back by itself or is to be checked: the only timer a host needs
    /// for a balancer. None when there is neither.
    pub fn deadline(&self) -> Option<Timestamp> {
        let back = self.feedback.as_ref().and_then(|feedback| feedback.deadline()).map(Timestamp::clamped);
        [self.tickets.deadline(), back].into_iter().flatten().min()
    }

    /// Reaps the picks that are due and tells how many. They count as neither succeeded nor failed.
    pub fn advance(&mut self, now: Timestamp) -> u32 {
        if let Some(trace) = &mut self.trace {
            trace.advance(now);
        }
        let before = self.members.picks();
        self.observe(now);
        before.saturating_sub(self.members.picks())
    }

    #[inline]
    fn observe(&mut self, now: Timestamp) {
        if now < self.now {
            self.backwards = self.backwards.saturating_add(1);
            return;
        }
        self.now = now;
        if self.tickets.is_due(now) {
            self.stir();
            self.reap();
        }
        if now.as_micros() >= self.alarm {
            self.ring();
        }
        if now.as_micros() >= self.wake {
            self.warm_up();
        }
    }

    #[cold]
    #[inline(never)]
    fn reap(&mut self) {
        let (members, now) = (&mut self.members, self.now.as_micros());
        self.tickets.reap(self.now, |slot, began| members.end(slot, began, None, now));
    }
}

/// What the view asks for. Whether an instance can serve is for the tiers to say, so the view keeps those that cannot:
/// their counters outlive a bad spell, and a refusal can tell nobody there from nobody available. A limit and
/// fallbacks, though, count those that can serve, and a query that has them is taken at its word.
fn widened(query: &Query) -> Query {
    let mut query = query.clone();
    if query.health == HealthFilter::Serving && query.limit.is_none() && query.fallbacks.is_empty() {
        query.health = HealthFilter::Any;
    }
    query
}
