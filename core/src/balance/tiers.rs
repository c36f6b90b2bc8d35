//! Which pool of instances a pick is made from.

mod told;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::filter::Excluded;
use super::groups::Groups;
use super::levels::{self, Census};
use super::members::{EJECTED, HELD, Members, Site, Standstill};
use super::pick::Request;
use super::policy::{Candidates, Look, Picker, Policy};
use super::zones::{self, Side};
use crate::model::{Availability, Handle};
use crate::rng::Rng;

/// What is common to the instances of a pool, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Healthy,
    Degraded,
    /// All of a level that panics.
    Panic,
    Draining,
    /// Out, because they do badly or asked for it.
    Out,
    /// Not to be called, but counted: not ready yet.
    Starting,
    /// Not to be called, but counted.
    Sick,
}

/// The kinds that may be called.
const CALLED: usize = 5;

/// The instances that may be given a call, in pools by kind, level and locality: the available, then the degraded, then those
/// that drain, then those that outlier detection or their own wish has taken out.
///
/// Without levels and localities a pick is made from the first pool in which the request leaves a candidate. With them a plan
/// says which pools have which share, and one draw, or the request's key, chooses among them; the others come after it. An
/// instance that has weight 0 or is disabled is in none; one that is unavailable is picked in a panic only. The order of the
/// pools is the prioritising stage of the pipeline.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    /// Sorted; empty ones are dropped.
    pools: Vec<Pool>,
    /// The pools that are to be drawn from with their shares, each added to those before; empty when there is no choice.
    plan: Vec<(u64, u32)>,
    /// The pool when there is no choice.
    first: usize,
    /// The same when they are well, and nothing else stands between a request and the pool.
    plain: usize,
    /// The groups that requests may ask for; none when the policy has neither labels nor sticky requests.
    groups: Option<Box<Groups>>,
    /// The group whose instances these are; none when they are all.
    group: Option<Box<str>>,
    /// Whether the weights of localities are scaled by how much of them the group has.
    scales: bool,
    policy: Policy,
    seed: u64,
}

/// Instances among which a policy chooses.
#[derive(Clone, Debug)]
struct Pool {
    kind: Kind,
    level: u8,
    locality: Box<str>,
    /// Sorted by service and id.
    slots: Vec<u32>,
    /// Built for these slots and weights; none after a change, until a pick is asked.
    picker: Option<Picker>,
    /// Whether one of the slots was touched since they were settled.
    stale: bool,
}

/// Keeps the hash that chooses a pool apart from those that choose in it.
const KEY_STREAM: u64 = 0x6c65_7665_6c73;

impl Tiers {
    pub(super) fn new(policy: Policy, seed: u64) -> Self {
        let groups = Groups::new(&policy).map(Box::new);
        Self { pools: Vec::new(), plan: Vec::new(), first: 0, plain: usize::MAX, groups, group: None, scales: false, policy, seed }
    }

    /// The same for the instances of a group, none of whom it knows yet.
    pub(super) fn of_group(&self, name: &str) -> Self {
        let mut policy = self.policy.clone();
        let scales = policy.before.labels.as_ref().is_some_and(|labels| labels.scale_localities);
        (policy.before.labels, policy.before.sticky) = (None, None);
        Self { group: Some(name.into()), scales, ..Self::new(policy, self.seed) }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The pool an instance belongs to.
    fn of<'a>(&self, members: &'a Members, slot: u32) -> Option<(Kind, Site<'a>)> {
        let availability = members.availability(slot)?;
        if members.weight(slot) == 0 || self.group.as_ref().is_some_and(|group| !members.is_in_group(slot, group)) {
            return None;
        }
        let site = members.site(slot);
        let kind = match availability {
            Availability::Unavailable => match site.standstill {
                _ if self.policy.before.levels.is_none() => return None,
                Standstill::Disabled => return None,
                Standstill::Starting => Kind::Starting,
                Standstill::Sick => Kind::Sick,
            },
            _ if members.is_out(slot, EJECTED | HELD) => Kind::Out,
            Availability::Available => Kind::Healthy,
            Availability::Degraded => Kind::Degraded,
            Availability::Draining => Kind::Draining,
        };
        Some((kind, site))
    }

    fn find(&self, kind: Kind, site: Site<'_>) -> Result<usize, usize> {
        self.pools.binary_search_by(|pool| pool.compare(kind, site))
    }

    /// Told before an instance changes: what the policy keeps of its pool is parked.
    pub(super) fn touch(&mut self, members: &mut Members, slot: u32) {
        if let Some(groups) = &mut self.groups {
            groups.touch(members, slot);
        }
        let place = self.of(members, slot).and_then(|(kind, site)| self.find(kind, site).ok());
        if let Some(pool) = place.and_then(|place| self.pools.get_mut(place)) {
            pool.stale = true;
            if !pool.picker.as_mut().is_some_and(|picker| picker.leave(slot, members)) {
                pool.unbuild(members);
            }
        }
        for pool in self.pools.iter_mut().filter(|pool| pool.kind == Kind::Panic) {
            pool.unbuild(members);
        }
    }

    /// Told after instances have changed, with their slots sorted by service and id: takes them out of the pools
    /// they were in, which were touched, and puts them where they belong now.
    pub(super) fn settle(&mut self, members: &mut Members, slots: &[u32]) {
        if let Some(groups) = &mut self.groups {
            groups.settle(members, slots);
        }
        for slot in slots {
            if let Some((kind, site)) = self.of(members, *slot)
                && let Err(place) = self.find(kind, site)
            {
                let locality = site.locality.into();
                self.pools.insert(place, Pool { kind, level: site.level, locality, slots: Vec::new(), picker: None, stale: false });
            }
        }
        // The place of its pool and the slot, in order of pool, then of service and id.
        let mut joining: Vec<(usize, u32)> = Vec::new();
        for slot in slots {
            let place = self.of(members, *slot).and_then(|(kind, site)| self.find(kind, site).ok());
            joining.extend(place.map(|place| (place, *slot)));
        }
        joining.sort_by_key(|(place, _)| *place);
        let mut changed = slots.to_vec();
        changed.sort_unstable();
        let mut joining = joining.as_slice();
        for (place, pool) in self.pools.iter_mut().enumerate() {
            let count = joining.partition_point(|(other, _)| *other <= place);
            let (mine, rest) = joining.split_at_checked(count).unwrap_or_default();
            joining = rest;
            if mine.is_empty() && !pool.stale && pool.picker.is_some() {
                continue;
            }
            pool.stale = false;
            if !pool.picker.as_ref().is_some_and(Picker::is_elastic) {
                pool.unbuild(members);
            }
            pool.slots.retain(|slot| changed.binary_search(slot).is_err());
            let mine: Vec<u32> = mine.iter().map(|(_, slot)| *slot).collect();
            members.merge(&mut pool.slots, &mine);
            if pool.picker.as_mut().is_some_and(|picker| !picker.settle(&mine, &pool.slots, members)) {
                pool.picker = None;
            }
        }
        for pool in self.pools.iter_mut().filter(|pool| pool.kind == Kind::Panic) {
            pool.unbuild(members);
            pool.slots.clear();
        }
        self.pools.retain(|pool| !pool.slots.is_empty());
        self.replan(members);
    }

    /// Divides the traffic anew.
    fn replan(&mut self, members: &Members) {
        let mut parts: Vec<(u64, u32)> = Vec::new();
        match &self.policy.before.levels {
            None if self.policy.before.localities.is_none() => {}
            None => {
                if let Some(kind) = self.pools.first().map(|pool| pool.kind) {
                    self.divide(members, kind, 0, 1, &mut parts);
                }
            }
            Some(settings) => {
                let levels = self.census();
                let loads = levels::loads(&levels, settings.overprovisioning, settings.panic);
                for (load, level) in loads.iter().zip(0u8..).filter(|(load, _)| load.panic) {
                    if load.healthy.saturating_add(load.degraded) > 0 {
                        self.panic(members, level);
                    }
                }
                for (load, level) in loads.iter().zip(0u8..) {
                    let (healthy, degraded) = (u64::from(load.healthy), u64::from(load.degraded));
                    if load.panic {
                        self.divide(members, Kind::Panic, level, healthy.saturating_add(degraded), &mut parts);
                    } else {
                        self.divide(members, Kind::Healthy, level, healthy, &mut parts);
                        self.divide(members, Kind::Degraded, level, degraded, &mut parts);
                    }
                }
            }
        }
        parts.sort_unstable_by_key(|(_, place)| *place);
        let mut sum = 0u64;
        for (share, _) in &mut parts {
            sum = sum.saturating_add(*share);
            *share = sum;
        }
        let is_called = |pool: &&Pool| (pool.kind as usize) < CALLED;
        let nobody = if self.pools.first().filter(is_called).is_some() { 0 } else { usize::MAX };
        self.first = parts.first().map_or(nobody, |(_, place)| *place as usize);
        if parts.len() < 2 {
            parts.clear();
        }
        self.plan = parts;
        let is_well = self.pools.get(self.first).is_some_and(|pool| pool.kind == Kind::Healthy);
        self.plain = if self.plan.is_empty() && self.groups.is_none() && is_well { self.first } else { usize::MAX };
    }

    /// How many instances of which kind each level has. Those that drain are on their way out and do not count.
    fn census(&self) -> Vec<Census> {
        let mut levels = Vec::new();
        for pool in self.pools.iter().filter(|pool| pool.kind != Kind::Draining) {
            let level = usize::from(pool.level);
            if levels.len() <= level {
                levels.resize(level.saturating_add(1), Census::default());
            }
            let Some(census) = levels.get_mut(level) else { continue };
            let count = pool.slots.len() as u32;
            census.total = census.total.saturating_add(count);
            match pool.kind {
                Kind::Healthy => census.healthy = census.healthy.saturating_add(count),
                Kind::Degraded => census.degraded = census.degraded.saturating_add(count),
                Kind::Starting => census.excluded = census.excluded.saturating_add(count),
                _ => {}
            }
        }
        levels
    }

    /// Makes the pool of a level that panics: all but those that drain.
    fn panic(&mut self, members: &Members, level: u8) {
        let mut slots = Vec::new();
        for pool in self.pools.iter().filter(|pool| pool.level == level && pool.kind != Kind::Draining) {
            members.merge(&mut slots, &pool.slots);
        }
        if let Err(place) = self.find(Kind::Panic, Site { level, ..Site::default() })
            && !slots.is_empty()
        {
            self.pools.insert(place, Pool { kind: Kind::Panic, level, locality: Box::default(), slots, picker: None, stale: false });
        }
    }

    /// Divides so much among the localities of a kind and level.
    fn divide(&self, members: &Members, kind: Kind, level: u8, load: u64, parts: &mut Vec<(u64, u32)>) {
        // Small enough for a hundred of them, fine enough for any share.
        const SCALE: u128 = 1 << 48;
        let is_mine = |pool: &Pool| pool.kind == kind && pool.level == level;
        let mine: Vec<(u32, &Pool)> = (0u32..).zip(&self.pools).filter(|(_, pool)| is_mine(pool)).collect();
        let shares = match &self.policy.before.localities {
            Some(localities) if mine.len() > 1 || kind <= Kind::Degraded => {
                let sides: Vec<Side<'_>> = mine.iter().map(|(_, pool)| self.side(members, pool)).collect();
                if kind <= Kind::Degraded { zones::shares(localities, &sides) } else { sides.iter().map(|side| side.weight).collect() }
            }
            _ => mine.iter().map(|_| 1).collect(),
        };
        let sum = shares.iter().fold(0u128, |sum, share| sum.saturating_add(u128::from(*share)));
        for (share, (place, _)) in shares.iter().zip(&mine) {
            let part = u128::from(*share).saturating_mul(SCALE).checked_div(sum).unwrap_or_default() as u64;
            if part > 0 && load > 0 {
                parts.push((part.saturating_mul(load), *place));
            }
        }
    }

    /// A pool as a side of its locality.
    fn side<'a>(&self, members: &Members, pool: &'a Pool) -> Side<'a> {
        let count = |pool: &Pool| pool.slots.len() as u32;
        let alike = |other: &&Pool| {
            other.level == pool.level && other.locality == pool.locality && !matches!(other.kind, Kind::Draining | Kind::Starting)
        };
        Side {
            path: &pool.locality,
            total: self.pools.iter().filter(alike).fold(0, |sum, other| sum.saturating_add(count(other))),
            well: count(pool),
            weight: pool.slots.iter().fold(0, |sum, slot| sum.saturating_add(members.weight(*slot).into())),
            part: self.scales.then(|| self.part(members, pool)),
        }
    }

    /// How many instances of a pool's level and locality the group has, and how many there are, well or not.
    fn part(&self, members: &Members, pool: &Pool) -> (u32, u32) {
        let is_there = |slot: &&u32| {
            let site = members.site(**slot);
            members.availability(**slot).is_some() && site.level == pool.level && *site.locality == *pool.locality
        };
        let all = members.order().iter().filter(is_there);
        let mine = all.clone().filter(|slot| self.group.as_ref().is_some_and(|group| members.is_in_group(**slot, group)));
        (mine.count() as u32, all.count() as u32)
    }

    /// The whole choice: the pool, then the instance in it. None when no pool has a candidate that the request
    /// leaves; then nothing was drawn, and [`Tiers::refusal`] says why.
    #[inline]
    pub(super) fn choose(&mut self, members: &mut Members, request: &Request<'_>, rng: &mut Rng, now: u64) -> Option<u32> {
        self.walk(members, request, rng, now, None)
    }

    /// Whether nothing stands between a request and the instances of one pool, which [`Tiers::pick`] chooses from.
    pub(super) fn is_plain(&self) -> bool {
        self.pools.get(self.plain).is_some_and(|pool| pool.picker.is_some())
    }

    /// The choice while that is so, for a request that excludes nobody and has no key, of a policy that has a short way; else none.
    #[inline(always)]
    pub(super) fn pick_shortly(&mut self, members: &Members, rng: &mut Rng) -> Option<u32> {
        let Pool { slots, picker: Some(picker), .. } = self.pools.get_mut(self.plain)? else { return None };
        picker.pick_shortly(slots, members, rng)
    }

    /// The same of a policy that compares two by what they cost.
    #[inline(always)]
    pub(super) fn pick_cheaper(&mut self, members: &Members, rng: &mut Rng, now: u64) -> Option<u32> {
        let Pool { slots, picker: Some(Picker::Sample(sampler)), .. } = self.pools.get_mut(self.plain)? else { return None };
        sampler.pick_cheaper(slots, members, rng, now)
    }

    /// The owner of a key while that is so, of a policy that has a table of them.
    #[inline(always)]
    pub(super) fn look_up(&self, key: &[u8]) -> Option<u32> {
        let Pool { picker: Some(Picker::Hash(owners)), .. } = self.pools.get(self.plain)? else { return None };
        owners.look_up(key)
    }

    /// The choice while that is so, for a request that excludes nobody.
    #[inline]
    pub(super) fn pick(&mut self, members: &Members, key: Option<&[u8]>, rng: &mut Rng, now: u64) -> Option<u32> {
        let Pool { slots, picker: Some(picker), .. } = self.pools.get_mut(self.plain)? else { return None };
        picker.pick(&Candidates::all(slots, members, now), key, rng)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn walk(
        &mut self,
        members: &mut Members,
        request: &Request<'_>,
        rng: &mut Rng,
        now: u64,
        log: Option<&RefCell<Vec<Look>>>,
    ) -> Option<u32> {
        if let Some(mut groups) = self.groups.take() {
            let slot = groups.choose(self, members, request, rng, now, log);
            self.groups = Some(groups);
            return slot;
        }
        let (excluded, key) = (Excluded(request.exclude), request.key);
        let (generator, seed) = (&self.policy.generator, self.seed);
        let called = self.pools.partition_point(|pool| (pool.kind as usize) < CALLED);
        let is_open = |pool: &Pool| Candidates { slots: &pool.slots, members, excluded, now, log }.any_open();
        let first = match self.plan.last() {
            None => self.first,
            // Nothing is drawn for nobody.
            Some((sum, _)) if self.pools.iter().take(called).any(is_open) => {
                let draw = match key {
                    None => rng.below_u64(*sum),
                    Some(key) => (u128::from(xxh3_64_with_seed(key, KEY_STREAM)).wrapping_mul(u128::from(*sum)) >> 64) as u64,
                };
                let place = self.plan.partition_point(|(end, _)| *end <= draw);
                self.plan.get(place).map_or(self.first, |(_, pool)| *pool as usize)
            }
            Some(_) => return None,
        };
        // The one that was drawn, then the others of the plan, then the rest, each from the best.
        let planned = |place: &usize| self.plan.iter().any(|(_, other)| *other as usize == *place);
        let others = (0..called).filter(planned).chain((0..called).filter(|place| !planned(place)));
        let pools = &mut self.pools;
        let mut places = core::iter::once(first).filter(|first| *first < called).chain(others.filter(|place| *place != first));
        let (slot, kind) = places.find_map(|place| {
            let pool = pools.get_mut(place)?;
            let picker = pool.picker.get_or_insert_with(|| Picker::build(generator, &pool.slots, members, seed));
            let candidates = Candidates { slots: &pool.slots, members, excluded, now, log };
            let slot = if candidates.any_open() { picker.pick(&candidates, key, rng) } else { None };
            slot.map(|slot| (slot, pool.kind))
        })?;
        match kind {
            Kind::Degraded => members.tell(|stages| &mut stages.degraded),
            Kind::Panic => members.tell(|stages| &mut stages.panic),
            Kind::Draining => members.tell(|stages| &mut stages.draining),
            Kind::Out => members.tell(|stages| &mut stages.out),
            Kind::Healthy | Kind::Starting | Kind::Sick => {}
        }
        Some(slot)
    }

    /// The choice as [`Tiers::choose`] makes it, and what it looked at.
    pub(super) fn explain(&mut self, members: &mut Members, request: &Request<'_>, rng: &mut Rng, now: u64) -> (Option<u32>, Vec<Look>) {
        let log = RefCell::default();
        let slot = self.walk(members, request, rng, now, Some(&log));
        (slot, log.into_inner())
    }

    /// Whom to probe: instances of the best pool.
    pub(super) fn probe_requests(&mut self, members: &mut Members, rng: &mut Rng, now: u64) -> Vec<Handle> {
        let (generator, seed) = (&self.policy.generator, self.seed);
        let Some(pool) = self.pools.get_mut(self.first).filter(|pool| !pool.slots.is_empty()) else { return Vec::new() };
        let picker = pool.picker.get_or_insert_with(|| Picker::build(generator, &pool.slots, members, seed));
        picker.probe_requests(&Candidates::all(&pool.slots, members, now), rng)
    }

    /// Takes what a probe of an instance brought; false when the instance is not in the best pool.
    pub(super) fn probed(&mut self, members: &Members, handle: Handle, load: f64, latency: f64, now: u64) -> bool {
        let Some(Pool { slots, picker: Some(picker), .. }) = self.pools.get_mut(self.first) else { return false };
        let Some(slot) = slots.iter().copied().find(|slot| members.handle(*slot) == Some(handle)) else { return false };
        picker.probed(slot, handle, load, latency, slots.len(), now)
    }

    /// The pools that serve a request.
    pub(super) fn serving(&self, request: &Request<'_>) -> &Self {
        self.groups.as_ref().and_then(|groups| groups.find(request)).unwrap_or(self)
    }

    /// Whether the request goes where it prefers, or nowhere.
    pub(super) fn is_bound(&self, members: &Members, request: &Request<'_>) -> bool {
        self.groups.as_ref().is_some_and(|groups| groups.is_bound(members, request))
    }

    /// Says of an instance whether it is among those that a request asks for; none when that is all.
    pub(super) fn scope<'a>(&self, members: &'a Members, request: &Request<'_>) -> Option<impl Fn(u32) -> bool + 'a + use<'a>> {
        self.groups.as_ref().map(|groups| groups.scope(members, request))
    }

    /// Forgets what is kept of the pools, but for what the members keep.
    pub(super) fn retire(&mut self, members: &mut Members) {
        self.pools.iter_mut().for_each(|pool| pool.unbuild(members));
    }
}

impl Pool {
    fn compare(&self, kind: Kind, site: Site<'_>) -> Ordering {
        (self.kind, self.level, &*self.locality).cmp(&(kind, site.level, site.locality))
    }

    fn unbuild(&mut self, members: &mut Members) {
        if let Some(mut picker) = self.picker.take() {
            picker.park(&self.slots, members);
        }
    }
}
