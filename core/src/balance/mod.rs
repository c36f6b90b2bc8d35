//! Which one: from the instances of a view to the instance a call should go to.
//!
//! # The pipeline
//! Data goes through these parts in this order; each is a function of what is left, the request and the generator.
//!
//! | part | file | what it does |
//! |---|---|---|
//! | view | `members` | the instances that match the query, sorted by service and id; changes are merged in, so that survivors keep their counters and their turn |
//! | filter | `filter` | leaves out what the request excludes |
//! | prioritise | `tiers` | available, else degraded, else draining; never unavailable, never of weight 0 |
//! | pick | `policy/*` | one policy a file |
//! | tickets | `tickets` | remembers the pick until it is finished or reaped |
//! | feedback | `outcome`, `signals`, `stats` | what became of it, and what is learnt from it |

mod config;
mod decay;
mod explain;
mod filter;
mod members;
mod metrics;
mod outcome;
mod pick;
mod policy;
mod signals;
mod stats;
#[cfg(test)]
mod tests;
mod tickets;
mod tiers;
mod trace;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

pub use config::Options;
pub use explain::{Explanation, LeftOut, Looked};
pub use outcome::Outcome;
pub use pick::{Pick, Request};
pub use policy::{
    Cost, Edf, First, Generator, HashKey, Jump, Ketama, KetamaLayout, Layout, Maglev, Policy, Preset, Rendezvous, Ring, RingHash, Sample,
    Score, Stride, Unknown,
};
pub use stats::{InstanceStats, Stats, Tally};
pub use trace::Replay;

use crate::error::{Code, Error};
use crate::limits;
use crate::model::Handle;
use crate::query::{HealthFilter, Query};
use crate::registry::{Brief, Delta, Registry, View};
use crate::rng::Rng;
use crate::time::Timestamp;
use crate::value::{Fields, Value};
use filter::Excluded;
use members::{Arrival, Members};
use tickets::Tickets;
use tiers::Tiers;
use trace::Trace;

/// Chooses instances for calls, among those that match a query.
///
/// It has one owner: give each worker thread its own. The same changes, requests, outcomes and times in the same
/// order give the same picks for the same seed, in every language.
///
/// - **Getters**: [`query`](Self::query), [`policy`](Self::policy), [`options`](Self::options), [`len`](Self::len),
///   [`in_flight`](Self::in_flight), [`stats`](Self::stats), [`explain`](Self::explain), [`trace`](Self::trace).
/// - **Mutators that take `now`**: [`pick`](Self::pick), [`finish`](Self::finish),
///   [`finish_and_pick`](Self::finish_and_pick). A time that runs backwards counts as the latest one seen. Each
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
        policy.generator.validate()?;
        Ok(Self {
            view: View::new(widened(&query))?,
            query,
            trace: (options.trace > 0).then(|| Box::new(Trace::new(options.trace))),
            options,
            members: Members::new(policy.generator.rules()),
            tiers: Tiers::new(policy, options.seed),
            tickets: Tickets::new(options.reap_after),
            rng: Rng::new(options.seed),
            now: Timestamp::ZERO,
            backwards: 0,
        })
    }

    /// Makes one from `{query, policy, options?}`, the policy by its name or as its parts.
    ///
    /// # Errors
    /// As [`Balancer::new`], [`Query::from_value`], [`Policy::from_value`] and [`Options::from_value`];
    /// [`Code::MissingField`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["query", "policy", "options"])?;
        let query = fields.value("query").ok_or_else(|| Error::new(Code::MissingField, "query"))?;
        let query = Query::from_value(query).map_err(|error| error.within("query"))?;
        let policy = fields.value("policy").ok_or_else(|| Error::new(Code::MissingField, "policy"))?;
        let policy = Policy::from_value(policy)?;
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
        self.tickets.len()
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
                expected: self.members.expected(*slot, now),
                success: self.members.success(*slot, now),
            })
        };
        Stats {
            policy: self.policy().name().into(),
            in_flight: self.tickets.len() as u32,
            tally: self.members.total(),
            backwards: self.backwards,
            instances: self.members.order().iter().filter_map(instance).collect(),
        }
    }

    /// Takes over what changed in the registry since the last time; false when nothing did that matters here, and
    /// then it costs one comparison. Call it before picks, as often as you like.
    ///
    /// Instances that stay keep their counters and their turn, whatever happens to others; one that leaves and comes
    /// back while calls to it are out finds them counted. A balancer follows one registry, or one restored from its
    /// snapshot.
    #[inline]
    pub fn follow(&mut self, registry: &Registry) -> bool {
        match self.view.poll(registry) {
            Some(delta) => {
                self.take_over(registry, &delta);
                true
            }
            None => false,
        }
    }

    #[cold]
    #[inline(never)]
    fn take_over(&mut self, registry: &Registry, delta: &Delta) {
        // After a reset what the view does not list may be other than it was.
        let changed: Vec<Handle> =
            if delta.reset { self.view.handles().collect() } else { delta.added.iter().chain(&delta.updated).copied().collect() };
        // What a policy hashes of an instance is read only for one that does.
        let hash_key = self.policy().generator.hash_key().cloned();
        let text = |handle| hash_key.as_ref().and_then(|key| key.text(registry, handle)).unwrap_or_default();
        let briefs: Vec<(Handle, Brief, String)> =
            changed.iter().filter_map(|handle| Some((*handle, registry.brief(*handle)?, text(*handle)))).collect();
        let removals = delta.removed.iter().map(|gone| Change::Remove { service: &gone.service, id: &gone.id });
        let arrivals = briefs.iter().map(|(handle, brief, hash_key)| {
            Change::Put(Arrival {
                service: &brief.service,
                id: &brief.id,
                hash_key,
                handle: *handle,
                weight: brief.weight.thousandths(),
                availability: brief.availability,
            })
        });
        self.apply(removals.chain(arrivals));
    }

    /// Chooses the instance a call should go to and counts the call as in flight there until it is finished.
    ///
    /// It is never an excluded instance, one that is unavailable or one of weight 0. Allocates only when more picks
    /// are in flight than ever before, for the first pick after a change and, with `round-robin`, for an exclusion.
    ///
    /// # Errors
    /// [`Code::NoInstances`], [`Code::NoneAvailable`], [`Code::AllExcluded`]; [`Code::LimitExceeded`] for a `key` or an
    /// `exclude` that is too long, and for `picks` when 1 048 576 are unfinished.
    #[inline]
    pub fn pick(&mut self, request: &Request<'_>, now: Timestamp) -> Result<Pick, Error> {
        self.observe(now);
        // The errors are made elsewhere, lest each pick pay for their making.
        let answer = match self.choose(request) {
            Some(pick) => Ok(pick),
            None => Err(self.refusal(request)),
        };
        if let Some(trace) = &mut self.trace {
            trace.pick(request, answer.as_ref().copied().map_err(Error::code), now);
        }
        answer
    }

    #[inline]
    fn choose(&mut self, request: &Request<'_>) -> Option<Pick> {
        if !request.is_within_limits() || self.tickets.is_full() {
            return None;
        }
        let now = self.now.as_micros();
        let slot = self.tiers.choose(&mut self.members, Excluded(request.exclude), request.key, &mut self.rng, now)?;
        let handle = self.members.begin(slot, now)?;
        Some(Pick { handle, token: self.tickets.issue(slot, self.now) })
    }

    /// Why nothing was chosen.
    #[cold]
    #[inline(never)]
    fn refusal(&self, request: &Request<'_>) -> Error {
        if let Err(error) = request.validate() {
            error
        } else if self.tickets.is_full() {
            Error::too_large("picks", limits::PICKS_IN_FLIGHT as u64)
        } else if self.is_empty() {
            Error::new(Code::NoInstances, "").message("no instance matches the query")
        } else {
            self.tiers.refusal()
        }
    }

    /// Tells what became of a pick. False when the token is unknown, was finished before or was reaped: then nothing
    /// is counted.
    #[inline]
    pub fn finish(&mut self, token: u64, outcome: Outcome, now: Timestamp) -> bool {
        if let Some(trace) = &mut self.trace {
            trace.finish(token, outcome, now);
        }
        self.observe(now);
        let Some((slot, began)) = self.tickets.redeem(token) else { return false };
        self.members.end(slot, began, Some(&outcome), self.now.as_micros());
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

    /// When the oldest unfinished pick is reaped: the only timer a host needs for a balancer. None while all are finished.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.tickets.deadline()
    }

    /// Reaps the picks that are due and tells how many. They count as neither succeeded nor failed.
    pub fn advance(&mut self, now: Timestamp) -> u32 {
        if let Some(trace) = &mut self.trace {
            trace.advance(now);
        }
        let before = self.tickets.len();
        self.observe(now);
        before.saturating_sub(self.tickets.len()) as u32
    }

    #[inline]
    fn observe(&mut self, now: Timestamp) {
        if now < self.now {
            self.backwards = self.backwards.saturating_add(1);
            return;
        }
        self.now = now;
        if self.tickets.is_due(now) {
            self.reap();
        }
    }

    #[cold]
    #[inline(never)]
    fn reap(&mut self) {
        let (members, now) = (&mut self.members, self.now.as_micros());
        self.tickets.reap(self.now, |slot, began| members.end(slot, began, None, now));
    }

    /// Takes over changes of the view.
    fn apply<'a>(&mut self, changes: impl Iterator<Item = Change<'a>> + Clone) {
        if let Some(trace) = &mut self.trace {
            trace.change(changes.clone(), self.now);
        }
        let (mut new, mut moved): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Put(arrival) => {
                    let known = self.members.slot_of(arrival.service, arrival.id);
                    let same = known.is_some_and(|slot| self.members.stands_as(slot, &arrival));
                    if let Some(slot) = known
                        && !same
                    {
                        self.tiers.touch(&mut self.members, slot);
                    }
                    let slot = self.members.place(arrival, known, self.now.as_micros());
                    if !same {
                        moved.push(slot);
                    }
                    if known.is_none() {
                        new.push(slot);
                    }
                }
                Change::Remove { service, id } => {
                    if let Some(slot) = self.members.slot_of(service, id) {
                        self.tiers.touch(&mut self.members, slot);
                        self.members.remove(slot);
                        moved.push(slot);
                    }
                }
            }
        }
        for slots in [&mut new, &mut moved] {
            slots.sort_unstable_by(|one, other| self.members.compare(*one, *other));
            slots.dedup();
        }
        self.members.enter(&new);
        self.tiers.settle(&mut self.members, &moved);
        self.members.sweep();
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
