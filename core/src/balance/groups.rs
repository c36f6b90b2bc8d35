//! The groups of instances that requests ask for by labels, each with pools and a policy's state of its own; and by what
//! name they prefer one.
//!
//! Which instances belong to a group is written down for all groups; the rest is made when a group is asked for, and is
//! forgotten when too many others were since.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem::take;

use super::labels::{Labels, Target, check};
use super::members::Members;
use super::pick::Request;
use super::policy::{Look, Policy};
use super::sticky::{self, Sticky};
use super::tiers::Tiers;
use crate::error::{Code, Error};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(super) struct Groups {
    rules: Option<Labels>,
    sticky: Option<Sticky>,
    /// By name; none is empty.
    groups: BTreeMap<Box<str>, Group>,
    /// Those that are ready, by when they were asked for last.
    ready: BTreeMap<u64, Box<str>>,
    /// Counts the questions.
    clock: u64,
    /// Groups of instances that were touched since they were settled.
    touched: Vec<Box<str>>,
    /// The name of the group that is asked for.
    name: String,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// In no order.
    slots: Vec<u32>,
    /// None until it is asked for.
    tiers: Option<Box<Tiers>>,
    asked: u64,
}

impl Groups {
    /// None when the policy has neither labels nor sticky requests.
    pub(super) fn new(policy: &Policy) -> Option<Self> {
        if !policy.before.wants_groups() {
            return None;
        }
        let (rules, sticky) = (policy.before.labels.clone(), policy.before.sticky.clone());
        let (groups, ready) = (BTreeMap::new(), BTreeMap::new());
        Some(Self { rules, sticky, groups, ready, clock: 0, touched: Vec::new(), name: String::new() })
    }

    /// Told before an instance changes.
    pub(super) fn touch(&mut self, members: &mut Members, slot: u32) {
        for name in members.groups(slot).to_vec() {
            if let Some(group) = self.groups.get_mut(&name) {
                if let Some(place) = group.slots.iter().position(|other| *other == slot) {
                    group.slots.swap_remove(place);
                }
                if let Some(tiers) = &mut group.tiers {
                    tiers.touch(members, slot);
                }
            }
            self.touched.push(name);
        }
    }

    /// Told after instances have changed, with their slots sorted by service and id.
    pub(super) fn settle(&mut self, members: &mut Members, slots: &[u32]) {
        let mut names = take(&mut self.touched);
        for slot in slots.iter().filter(|slot| members.availability(**slot).is_some()) {
            for name in members.groups(*slot) {
                self.groups.entry(name.clone()).or_default().slots.push(*slot);
                names.push(name.clone());
            }
        }
        if self.rules.as_ref().is_some_and(|rules| rules.scale_localities) {
            // Whoever comes or goes anywhere changes what part of a locality a group has.
            names.extend(self.ready.values().cloned());
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            if group.slots.is_empty() {
                self.ready.remove(&group.asked);
                self.groups.remove(&name);
            } else if let Some(tiers) = &mut group.tiers {
                tiers.settle(members, slots);
            }
        }
    }

    /// Who is asked for by these labels, and whether anybody will do when there is nobody; the name of a group is in `name`.
    fn resolve(&self, labels: &[(&str, &str)], name: &mut String) -> (Target, bool) {
        let Some(rules) = &self.rules else { return (Target::Any, false) };
        if check(labels).is_err() {
            return (Target::Nobody, false);
        }
        rules.resolve(labels, name, |name| self.groups.contains_key(name))
    }

    /// The instance that the request prefers, if it may be given the call; of those of one name the first by service and id.
    fn preferred(&self, members: &Members, request: &Request<'_>) -> Option<u32> {
        let sticky = self.sticky.as_ref().filter(|_| !request.prefer.is_empty())?;
        let scope = self.scope(members, request);
        let is_open = |slot: &u32| {
            let is_tried = members.handle(*slot).is_none_or(|handle| request.exclude.contains(&handle));
            !is_tried && sticky.admits(members, *slot) && scope(*slot)
        };
        request.prefer.iter().find_map(|name| {
            let group = self.groups.get(Sticky::group(name).as_str())?;
            group.slots.iter().copied().filter(is_open).min_by(|one, other| members.compare(*one, *other))
        })
    }

    /// Whether the request is for those it prefers, and no others.
    fn is_strict(&self, request: &Request<'_>) -> bool {
        !request.prefer.is_empty() && self.sticky.as_ref().is_some_and(|sticky| sticky.strict)
    }

    /// Whether the request goes where it prefers, or nowhere.
    pub(super) fn is_bound(&self, members: &Members, request: &Request<'_>) -> bool {
        self.is_strict(request) || self.preferred(members, request).is_some()
    }

    /// The choice in the group that is asked for, or among all of `any`.
    pub(super) fn choose(
        &mut self,
        any: &mut Tiers,
        members: &mut Members,
        request: &Request<'_>,
        rng: &mut Rng,
        now: u64,
        log: Option<&RefCell<Vec<Look>>>,
    ) -> Option<u32> {
        if sticky::check(request.prefer).is_err() {
            return None;
        }
        let preferred = self.preferred(members, request);
        if preferred.is_some() {
            members.tell(|stages| &mut stages.preferred);
        }
        if preferred.is_some() || self.is_strict(request) {
            return preferred;
        }
        let mut name = take(&mut self.name);
        let (target, may_panic) = self.resolve(request.labels, &mut name);
        let slot = match target {
            Target::Group => self.prepare(&name, any, members).and_then(|tiers| tiers.walk(members, request, rng, now, log)),
            Target::Any => any.walk(members, request, rng, now, log),
            Target::Nobody => None,
        };
        let is_fallback = !request.labels.is_empty() && (target != Target::Group || name.is_empty() || slot.is_none());
        self.name = name;
        let slot = if slot.is_none() && may_panic { any.walk(members, request, rng, now, log) } else { slot };
        if slot.is_some() && is_fallback && self.rules.is_some() {
            members.tell(|stages| &mut stages.fallback);
        }
        slot
    }

    /// A group that is ready to pick from.
    fn prepare(&mut self, name: &str, any: &Tiers, members: &mut Members) -> Option<&mut Tiers> {
        self.clock = self.clock.wrapping_add(1);
        let group = self.groups.get_mut(name)?;
        let asked = core::mem::replace(&mut group.asked, self.clock);
        if group.tiers.is_some() {
            let name = self.ready.remove(&asked)?;
            self.ready.insert(self.clock, name);
        } else {
            let mut slots = group.slots.clone();
            crate::order::sort_slots(&mut slots, &mut |one, other| members.compare(one, other));
            let mut tiers = Box::new(any.of_group(name));
            tiers.settle(members, &slots);
            group.tiers = Some(tiers);
            self.ready.insert(self.clock, name.into());
            if self.ready.len() > self.rules.as_ref().map_or(0, |rules| rules.keep as usize)
                && let Some((_, name)) = self.ready.pop_first()
                && let Some(mut tiers) = self.groups.get_mut(&name).and_then(|group| group.tiers.take())
            {
                tiers.retire(members);
            }
        }
        self.groups.get_mut(name)?.tiers.as_deref_mut()
    }

    /// The pools of the group that is asked for; none when it is not ready or there is none.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<&Tiers> {
        let mut name = String::new();
        match self.resolve(request.labels, &mut name).0 {
            Target::Group => self.groups.get(name.as_str())?.tiers.as_deref(),
            _ => None,
        }
    }

    /// Says of an instance whether it is among those that are asked for.
    pub(super) fn scope<'a>(&self, members: &'a Members, request: &Request<'_>) -> impl Fn(u32) -> bool + 'a + use<'a> {
        let mut name = String::new();
        let target = self.resolve(request.labels, &mut name).0;
        move |slot| match target {
            Target::Group => members.is_in_group(slot, &name),
            Target::Any => true,
            Target::Nobody => false,
        }
    }

    /// Why nobody was chosen.
    pub(super) fn refusal(&self, any: &Tiers, request: &Request<'_>) -> Error {
        if self.is_strict(request) {
            return Error::new(Code::NoneAvailable, "prefer").message("none of the instances that the request is for may be given it");
        }
        match self.resolve(request.labels, &mut String::new()) {
            (Target::Nobody, false) => {
                Error::new(Code::NoInstances, "labels").message("no instance has these labels, and there is no other for the call")
            }
            (Target::Group, false) => self.find(request).unwrap_or(any).reason(),
            _ => any.reason(),
        }
    }
}
