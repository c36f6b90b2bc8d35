//! Following the registry: what changed in the view is taken over by every part of the pipeline.

use alloc::string::String;
use alloc::vec::Vec;

use super::members::{self, Arrival, Site, Standstill};
use super::{Balancer, Change};
use crate::model::{Availability, Handle};
use crate::registry::{Brief, Delta, Registry};

/// The level and the locality of an instance, and its groups.
type Placed = ((u8, String), Vec<String>);

impl Balancer {
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
        let before = &self.policy().before;
        // Only what the policy looks at is read.
        let wants = before.wants_sites() || before.wants_groups();
        let place = |handle| registry.registration(handle).map(|one| (before.site(&one), before.groups(registry, handle, &one)));
        // What a policy hashes of an instance is read only for one that does.
        let hash_key = self.policy().generator.hash_key().cloned();
        let text = |handle| hash_key.as_ref().and_then(|key| key.text(registry, handle)).unwrap_or_default();
        let brief = |handle: &Handle| {
            let place = if wants { place(*handle) } else { None };
            Some((*handle, registry.brief(*handle)?, place.unwrap_or_default(), text(*handle)))
        };
        let briefs: Vec<(Handle, Brief, Placed, String)> = changed.iter().filter_map(brief).collect();
        let removals = delta.removed.iter().map(|gone| Change::Remove { service: &gone.service, id: &gone.id });
        let arrivals = briefs.iter().map(|(handle, brief, ((level, locality), groups), hash_key)| {
            Change::Put(Arrival {
                service: &brief.service,
                id: &brief.id,
                hash_key,
                groups,
                handle: *handle,
                weight: brief.weight.thousandths(),
                availability: brief.availability,
                site: Site { level: *level, locality, standstill: Standstill::of(brief) },
            })
        });
        self.apply(removals.chain(arrivals));
    }

    /// Takes over changes of the view.
    pub(super) fn apply<'a>(&mut self, changes: impl Iterator<Item = Change<'a>> + Clone) {
        self.stir();
        if let Some(trace) = &mut self.trace {
            trace.change(changes.clone(), self.now);
        }
        let (mut new, mut moved): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        // Whether somebody comes or goes.
        let mut is_crowd_new = false;
        if let Some(warmup) = &mut self.warmup
            && !self.members.order().iter().any(|slot| self.members.serves(*slot))
        {
            warmup.begin_anew();
        }
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
                    let was = known.and_then(|slot| self.members.availability(slot));
                    let served = known.is_some_and(|slot| self.members.serves(slot));
                    is_crowd_new |= was.is_none();
                    let slot = self.members.place(arrival, known, self.now.as_micros());
                    if !same {
                        moved.push(slot);
                        self.season(slot, served);
                    }
                    if let Some(feedback) = &mut self.feedback {
                        feedback.enter(slot, known.is_none());
                        let is_well_again =
                            was.is_some_and(|was| was != arrival.availability) && arrival.availability == Availability::Available;
                        if is_well_again && feedback.heal(slot) {
                            self.members.set_out(slot, members::EJECTED, false);
                            self.members.forgive(slot);
                        }
                    }
                    if known.is_none() {
                        new.push(slot);
                    }
                }
                Change::Remove { service, id } => {
                    if let Some(slot) = self.members.slot_of(service, id) {
                        self.tiers.touch(&mut self.members, slot);
                        self.members.remove(slot);
                        is_crowd_new = true;
                        self.season(slot, true);
                        if let Some(feedback) = &mut self.feedback {
                            feedback.leave(slot);
                            self.members.set_out(slot, members::EJECTED | members::HELD, false);
                        }
                        moved.push(slot);
                    }
                }
            }
        }
        for slots in [&mut new, &mut moved] {
            crate::order::sort_slots(slots, &mut |one, other| self.members.compare(one, other));
            slots.dedup();
        }
        self.members.enter(&new);
        self.tiers.settle(&mut self.members, &moved);
        self.members.sweep();
        if is_crowd_new {
            self.reselect();
        }
        if let Some(feedback) = &mut self.feedback {
            if let Some(reports) = feedback.reports.as_mut().filter(|_| !moved.is_empty()) {
                reports.hurry();
                self.wake = self.wake.min(reports.wake());
            }
            (self.alarm, self.probe_at) = feedback.timers();
        }
    }
}
