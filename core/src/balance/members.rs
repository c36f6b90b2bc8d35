//! Who can be picked, and what is known of each: the state that survives a change of the others.

mod arrival;
mod calls;
#[cfg(test)]
mod fixture;
mod learnt;
mod standstill;

use alloc::boxed::Box;
use alloc::vec::Vec;
pub(super) use arrival::{Arrival, Site};
use core::cmp::Ordering;
pub(super) use standstill::Standstill;

use super::policy::{self, Parked, Rules};
use super::signals::Signal;
use super::stages::Stages;
use super::stats::Tally;
use crate::limits;
use crate::model::{Availability, Handle};

/// What a call is taken to last while none has ended, in microseconds: long, so that until then calls in flight count, and not their ages.
const UNHEARD: f64 = 1e6;

/// The instances of the view, in columns by slot, with those that left it while picks of them were out.
///
/// A slot is an instance's for as long as it is in the view or has picks in flight. One that comes back in the
/// meantime, under a new handle, finds its counters as it left them.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// Slots of all of them, sorted by service and id.
    order: Vec<u32>,
    // What a pick reads and writes, packed.
    seats: Vec<Seat>,
    // What a finish writes.
    tallies: Vec<Tally>,
    /// What the outcomes taught; empty when the policy learns nothing.
    signals: Vec<Signal>,
    // What a change reads.
    hosts: Vec<Host>,
    free: Vec<u32>,
    /// How many picks were made and how many of them have ended, wrapping. Two counters, for one would be read back at each pick and each
    /// finish right after it was written.
    begun: u32,
    ended: u32,
    /// How many have left and wait for their last pick.
    leaving: u32,
    /// The tallies of those that are gone.
    gone: Tally,
    /// How signals are made; none when the policy learns nothing.
    rules: Option<Rules>,
    /// The median of some instances' latencies in microseconds, and how many calls may end before it is taken again.
    typical: f64,
    fresh: u32,
    /// How many have not been timed yet: only for them the median is of use.
    unknown: u32,
    /// What `prequal` keeps while its pool is rebuilt.
    probes: Parked,
    /// What the parts of the pipeline did.
    pub(super) stages: Stages,
}

/// What a pick needs of an instance: four of them lie in one line of the processor's cache.
#[derive(Clone, Copy, Debug)]
struct Seat {
    handle: Handle,
    in_flight: u32,
    /// In thousandths, with the factors.
    weight: u32,
}

/// Who an instance is, and where it stands.
#[derive(Clone, Debug)]
struct Host {
    service: Box<str>,
    id: Box<str>,
    /// What is hashed of it; empty when that is its id, or nothing.
    hash_key: Box<str>,
    /// The names of the groups it belongs to, for policies with labels.
    groups: Box<[Box<str>]>,
    mark: u64,
    /// What `round-robin` parked; none until it had a turn.
    turn: Option<i64>,
    standing: Standing,
    /// Why it is out of the picks though it is in the view: [`EJECTED`], [`HELD`].
    out: u8,
    level: u8,
    locality: Box<str>,
    standstill: Standstill,
    /// Its own weight, and what it is multiplied by: [`PART`], [`WARM`], [`REPORT`].
    weight: u32,
    factors: [f64; 3],
}

/// The part of an instance that this client uses.
pub(super) const PART: usize = 0;
/// How warm it is.
pub(super) const WARM: usize = 1;
/// What it reported.
pub(super) const REPORT: usize = 2;

impl Host {
    /// The weight times the factors, to the nearest thousandth; 0 only if one of them is.
    fn effective(&self) -> u32 {
        let [part, warm, report] = self.factors;
        let factor = part * warm * report;
        if factor == 1.0 || self.weight == 0 {
            self.weight
        } else if factor <= 0.0 {
            0
        } else {
            // Rounds.
            ((f64::from(self.weight) * factor + 0.5) as u32).clamp(1, limits::WEIGHT_THOUSANDTHS)
        }
    }

    fn nobody() -> Self {
        Self {
            service: Box::default(),
            id: Box::default(),
            hash_key: Box::default(),
            groups: Box::default(),
            mark: 0,
            turn: None,
            standing: Standing::Free,
            out: 0,
            level: 0,
            locality: Box::default(),
            standstill: Standstill::Sick,
            weight: 0,
            factors: [1.0; 3],
        }
    }
}

/// Outlier detection took it out.
pub(super) const EJECTED: u8 = 1;
/// It asked to be spared.
pub(super) const HELD: u8 = 2;

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// In the view.
    Here(Availability),
    /// Out of the view, with picks in flight.
    Leaving,
    /// Nobody's.
    Free,
}

/// Calls that may end before the median of the latencies is taken again.
const FRESH: u32 = 64;
/// Instances that are looked at for it.
const PANEL: usize = 33;

impl Members {
    /// Members whose signals are made by these rules; none when the policy learns nothing.
    pub(super) fn new(rules: Option<Rules>) -> Self {
        Self { rules, typical: UNHEARD, ..Self::default() }
    }

    #[inline]
    pub(super) fn handle(&self, slot: u32) -> Option<Handle> {
        self.seats.get(slot as usize).map(|seat| seat.handle)
    }

    /// What counts for the picks, in thousandths: its own weight times its factors.
    #[inline]
    pub(super) fn weight(&self, slot: u32) -> u32 {
        self.seats.get(slot as usize).map_or(0, |seat| seat.weight)
    }

    #[inline]
    pub(super) fn in_flight(&self, slot: u32) -> Option<u32> {
        self.seats.get(slot as usize).map(|seat| seat.in_flight)
    }

    pub(super) fn mark(&self, slot: u32) -> u64 {
        self.hosts.get(slot as usize).map_or(0, |host| host.mark)
    }

    /// What is hashed of an instance.
    pub(super) fn hash_key(&self, slot: u32) -> &str {
        let host = self.hosts.get(slot as usize);
        host.map_or("", |host| if host.hash_key.is_empty() { &host.id } else { &host.hash_key })
    }

    /// The names of the groups an instance belongs to.
    pub(super) fn groups(&self, slot: u32) -> &[Box<str>] {
        self.hosts.get(slot as usize).map_or(&[], |host| &host.groups)
    }

    pub(super) fn is_in_group(&self, slot: u32, name: &str) -> bool {
        self.groups(slot).iter().any(|group| **group == *name)
    }

    pub(super) fn turn(&self, slot: u32) -> Option<i64> {
        self.hosts.get(slot as usize)?.turn
    }

    pub(super) fn set_turn(&mut self, slot: u32, turn: i64) {
        if let Some(host) = self.hosts.get_mut(slot as usize) {
            host.turn = Some(turn);
        }
    }

    /// What is known of a slot's instance while it is in the view.
    pub(super) fn availability(&self, slot: u32) -> Option<Availability> {
        match self.hosts.get(slot as usize)?.standing {
            Standing::Here(availability) => Some(availability),
            _ => None,
        }
    }

    /// What the view says of its weight, in thousandths.
    pub(super) fn own_weight(&self, slot: u32) -> u32 {
        self.hosts.get(slot as usize).map_or(0, |host| host.weight)
    }

    /// Whether it could be called if nothing but the view counted.
    pub(super) fn serves(&self, slot: u32) -> bool {
        self.own_weight(slot) > 0 && self.availability(slot).is_some_and(|availability| availability != Availability::Unavailable)
    }

    pub(super) fn factor(&self, slot: u32, which: usize) -> f64 {
        self.hosts.get(slot as usize).and_then(|host| host.factors.get(which)).copied().unwrap_or(1.0)
    }

    /// Sets [`PART`], [`WARM`] or [`REPORT`]. Between `touch` and `settle` of the [`Tiers`](super::tiers::Tiers) while it is in the view.
    pub(super) fn set_factor(&mut self, slot: u32, which: usize, factor: f64) {
        if let (Some(host), Some(seat)) = (self.hosts.get_mut(slot as usize), self.seats.get_mut(slot as usize)) {
            if let Some(old) = host.factors.get_mut(which) {
                *old = factor;
            }
            seat.weight = host.effective();
        }
    }

    /// Where an instance stands among the levels and localities.
    pub(super) fn site(&self, slot: u32) -> Site<'_> {
        let Some(Host { level, locality, standstill, .. }) = self.hosts.get(slot as usize) else { return Site::default() };
        Site { level: *level, locality, standstill: *standstill }
    }

    /// Whether it is out of the picks for any of these reasons.
    pub(super) fn is_out(&self, slot: u32, reasons: u8) -> bool {
        self.hosts.get(slot as usize).is_some_and(|host| host.out & reasons > 0)
    }

    /// Takes an instance out of the picks for these reasons, or takes the reasons back. Between [`Tiers::touch`] and
    /// [`Tiers::settle`](super::tiers::Tiers::settle).
    ///
    /// [`Tiers::touch`]: super::tiers::Tiers::touch
    pub(super) fn set_out(&mut self, slot: u32, reasons: u8, out: bool) {
        if let Some(host) = self.hosts.get_mut(slot as usize) {
            host.out = if out { host.out | reasons } else { host.out & !reasons };
        }
    }

    pub(super) fn name(&self, slot: u32) -> (&str, &str) {
        self.hosts.get(slot as usize).map_or(("", ""), |host| (&host.service, &host.id))
    }

    pub(super) fn tally(&self, slot: u32) -> Tally {
        self.tallies.get(slot as usize).copied().unwrap_or_default()
    }

    /// How many are in the view.
    pub(super) fn len(&self) -> usize {
        self.order.len().saturating_sub(self.leaving as usize)
    }

    /// All slots in use, sorted by service and id.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Where an instance stands in the order, or would.
    fn find(&self, service: &str, id: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|slot| self.name(*slot).cmp(&(service, id)))
    }

    pub(super) fn slot_of(&self, service: &str, id: &str) -> Option<u32> {
        self.order.get(self.find(service, id).ok()?).copied()
    }

    pub(super) fn compare(&self, one: u32, other: u32) -> Ordering {
        self.name(one).cmp(&self.name(other))
    }

    /// Whether this is what is known of the slot's instance already, but for the handle.
    pub(super) fn stands_as(&self, slot: u32, arrival: &Arrival<'_>) -> bool {
        let hash_key = self.hosts.get(slot as usize).map(|host| &*host.hash_key);
        self.availability(slot) == Some(arrival.availability)
            && self.own_weight(slot) == arrival.weight
            && self.site(slot) == arrival.site
            && self.groups(slot).iter().map(|name| &**name).eq(arrival.groups)
            && hash_key == Some(arrival.hash_key)
    }

    /// Notes what the view says of an instance that is `known` at a slot, or new; new ones enter the order with
    /// [`Members::enter`].
    pub(super) fn place(&mut self, arrival: Arrival<'_>, known: Option<u32>, now: u64) -> u32 {
        let slot = known.unwrap_or_else(|| self.claim(arrival.service, arrival.id, now));
        let index = slot as usize;
        if let (Some(seat), Some(host)) = (self.seats.get_mut(index), self.hosts.get_mut(index)) {
            seat.handle = arrival.handle;
            host.weight = arrival.weight;
            seat.weight = host.effective();
            if host.standing == Standing::Leaving {
                self.leaving = self.leaving.saturating_sub(1);
            }
            host.standing = Standing::Here(arrival.availability);
            if *host.hash_key != *arrival.hash_key {
                host.hash_key = arrival.hash_key.into();
            }
            if !host.groups.iter().map(|name| &**name).eq(arrival.groups) {
                host.groups = arrival.groups.iter().map(|name| name.as_str().into()).collect();
            }
            (host.level, host.standstill) = (arrival.site.level, arrival.site.standstill);
            if *host.locality != *arrival.site.locality {
                host.locality = arrival.site.locality.into();
            }
        }
        slot
    }

    fn claim(&mut self, service: &str, id: &str, now: u64) -> u32 {
        let host = Host { service: service.into(), id: id.into(), mark: policy::mark(service, id), ..Host::nobody() };
        if let Some(slot) = self.free.pop() {
            if let Some(old) = self.hosts.get_mut(slot as usize) {
                *old = host;
            }
            if let Some(old) = self.signals.get_mut(slot as usize) {
                *old = Signal::new(now);
                self.unknown = self.unknown.saturating_add(1);
            }
            return slot;
        }
        // A registry holds fewer than 2^32 instances.
        let slot = self.hosts.len() as u32;
        self.hosts.push(host);
        self.seats.push(Seat { handle: Handle::new(0, 0), in_flight: 0, weight: 0 });
        self.tallies.push(Tally::default());
        if self.rules.is_some() {
            self.signals.push(Signal::new(now));
            self.unknown = self.unknown.saturating_add(1);
        }
        slot
    }

    /// Takes an instance out of the view. It stays in the order until [`Members::sweep`], and beyond it until its
    /// last pick is finished.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(host) = self.hosts.get_mut(slot as usize)
            && let Standing::Here(_) = host.standing
        {
            host.standing = Standing::Leaving;
            self.leaving = self.leaving.saturating_add(1);
        }
    }

    /// Frees the slots of all that have left and have no pick in flight.
    pub(super) fn sweep(&mut self) {
        if self.leaving == 0 {
            return;
        }
        let mut order = core::mem::take(&mut self.order);
        order.retain(|slot| !self.free_if_done(*slot));
        self.order = order;
    }

    /// Frees one slot if its instance has left and this was its last pick.
    #[cold]
    #[inline(never)]
    fn release(&mut self, slot: u32) {
        // The place is looked up first: a freed slot has no name.
        let (service, id) = self.name(slot);
        let place = self.find(service, id);
        if self.free_if_done(slot)
            && let Ok(place) = place
        {
            self.order.remove(place);
        }
    }

    fn free_if_done(&mut self, slot: u32) -> bool {
        let idle = self.in_flight(slot) == Some(0);
        let Some(host) = self.hosts.get_mut(slot as usize) else { return false };
        if !idle || host.standing != Standing::Leaving {
            return false;
        }
        *host = Host::nobody();
        self.leaving = self.leaving.saturating_sub(1);
        if self.signal(slot).is_some_and(|signal| !signal.is_known()) {
            self.unknown = self.unknown.saturating_sub(1);
        }
        if let Some(tally) = self.tallies.get_mut(slot as usize) {
            self.gone = self.gone.plus(core::mem::take(tally));
        }
        self.free.push(slot);
        true
    }

    /// Merges slots that are new, sorted by service and id, into the order.
    pub(super) fn enter(&mut self, new: &[u32]) {
        let mut order = core::mem::take(&mut self.order);
        self.merge(&mut order, new);
        self.order = order;
    }

    /// Merges sorted slots into sorted slots, from the back: a search for each one that is new, and the rest moves
    /// in blocks.
    pub(super) fn merge(&self, list: &mut Vec<u32>, new: &[u32]) {
        let mut left = list.len();
        let mut end = left.saturating_add(new.len());
        list.resize(end, 0);
        for slot in new.iter().rev() {
            let at = list.get(..left).map_or(0, |old| old.partition_point(|other| self.compare(*other, *slot).is_lt()));
            let moved = left.saturating_sub(at);
            end = end.saturating_sub(moved);
            list.copy_within(at..left, end);
            end = end.saturating_sub(1);
            if let Some(place) = list.get_mut(end) {
                *place = *slot;
            }
            left = at;
        }
    }
}
