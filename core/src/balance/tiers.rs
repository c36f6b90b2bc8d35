//! Which pool of instances a pick is made from.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::filter::Excluded;
use super::members::Members;
use super::policy::{Candidates, Look, Picker, Policy};
use crate::error::{Code, Error};
use crate::model::Availability;
use crate::rng::Rng;

/// The pools, best first.
const TIERS: [Availability; 3] = [Availability::Available, Availability::Degraded, Availability::Draining];

/// The instances that may be given a call, by availability: the available, then the degraded, then those that drain.
///
/// A pick is made from the first pool in which the request leaves a candidate. An instance that is unavailable or has
/// weight 0 is in none. The order of the pools is the prioritising stage of the pipeline.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    pools: [Pool; TIERS.len()],
    /// The first that is not empty; 0 when all are.
    first: usize,
    policy: Policy,
    seed: u64,
}

/// Instances among which a policy chooses.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// Sorted by service and id.
    slots: Vec<u32>,
    /// Built for these slots and weights; none after a change, until a pick is asked.
    picker: Option<Picker>,
    /// Whether one of the slots was touched since they were settled.
    stale: bool,
}

impl Tiers {
    pub(super) fn new(policy: Policy, seed: u64) -> Self {
        Self { pools: Default::default(), first: 0, policy, seed }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The pool an instance belongs to.
    fn of(members: &Members, slot: u32) -> Option<usize> {
        let availability = members.availability(slot)?;
        if members.weight(slot) == 0 {
            return None;
        }
        TIERS.iter().position(|tier| *tier == availability)
    }

    /// Told before an instance changes: what the policy keeps of its pool is parked.
    pub(super) fn touch(&mut self, members: &mut Members, slot: u32) {
        if let Some(pool) = Self::of(members, slot).and_then(|tier| self.pools.get_mut(tier)) {
            pool.stale = true;
            if !pool.picker.as_mut().is_some_and(|picker| picker.leave(slot, members)) {
                pool.unbuild(members);
            }
        }
    }

    /// Told after instances have changed, with their slots sorted by service and id: takes them out of the pools
    /// they were in, which were touched, and puts them where they belong now.
    pub(super) fn settle(&mut self, members: &mut Members, slots: &[u32]) {
        let mut changed = slots.to_vec();
        changed.sort_unstable();
        for (tier, pool) in self.pools.iter_mut().enumerate() {
            let joining: Vec<u32> = slots.iter().copied().filter(|slot| Self::of(members, *slot) == Some(tier)).collect();
            if joining.is_empty() && !pool.stale {
                continue;
            }
            pool.stale = false;
            if !pool.picker.as_ref().is_some_and(Picker::is_elastic) {
                pool.unbuild(members);
            }
            pool.slots.retain(|slot| changed.binary_search(slot).is_err());
            members.merge(&mut pool.slots, &joining);
            if pool.picker.as_mut().is_some_and(|picker| !picker.settle(&joining, &pool.slots, members)) {
                pool.picker = None;
            }
        }
        self.first = self.pools.iter().position(|pool| !pool.slots.is_empty()).unwrap_or_default();
    }

    /// The whole choice: the pool, then the instance in it. None when no pool has a candidate that the request
    /// leaves; then nothing was drawn, and [`Tiers::refusal`] says why.
    #[inline]
    pub(super) fn choose(
        &mut self,
        members: &mut Members,
        excluded: Excluded<'_>,
        key: Option<&[u8]>,
        rng: &mut Rng,
        now: u64,
    ) -> Option<u32> {
        if let Some(Pool { slots, picker: Some(picker), .. }) = self.pools.get_mut(self.first)
            && excluded.is_empty()
        {
            return picker.pick(&Candidates { slots, members, excluded, now, log: None }, key, rng);
        }
        self.walk(members, excluded, key, rng, now, None)
    }

    #[cold]
    #[inline(never)]
    fn walk(
        &mut self,
        members: &mut Members,
        excluded: Excluded<'_>,
        key: Option<&[u8]>,
        rng: &mut Rng,
        now: u64,
        log: Option<&RefCell<Vec<Look>>>,
    ) -> Option<u32> {
        let (generator, seed) = (&self.policy.generator, self.seed);
        self.pools.iter_mut().filter(|pool| !pool.slots.is_empty()).find_map(|pool| {
            let picker = pool.picker.get_or_insert_with(|| Picker::build(generator, &pool.slots, members, seed));
            let candidates = Candidates { slots: &pool.slots, members, excluded, now, log };
            if candidates.any_open() { picker.pick(&candidates, key, rng) } else { None }
        })
    }

    /// The choice as [`Tiers::choose`] makes it, and what it looked at.
    pub(super) fn explain(
        &mut self,
        members: &mut Members,
        excluded: Excluded<'_>,
        key: Option<&[u8]>,
        rng: &mut Rng,
        now: u64,
    ) -> (Option<u32>, Vec<Look>) {
        let log = RefCell::default();
        let slot = self.walk(members, excluded, key, rng, now, Some(&log));
        (slot, log.into_inner())
    }

    /// Why nobody was chosen.
    #[cold]
    pub(super) fn refusal(&self) -> Error {
        if self.pools.iter().any(|pool| !pool.slots.is_empty()) {
            Error::new(Code::AllExcluded, "exclude").message("every instance that may be given the call is excluded")
        } else {
            Error::new(Code::NoneAvailable, "").message("no instance may be given a call: all are unavailable or have weight 0")
        }
    }
}

impl Pool {
    fn unbuild(&mut self, members: &mut Members) {
        if let Some(mut picker) = self.picker.take() {
            picker.park(&self.slots, members);
        }
    }
}
