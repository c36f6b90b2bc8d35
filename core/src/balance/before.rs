//! The parts of a policy that act before the pick, as settings.

use alloc::string::String;
use alloc::vec::Vec;

use super::Balancer;
use super::labels::Labels;
use super::levels::Levels;
use super::members::{PART, REPORT, WARM};
use super::reports::{FINE, Weights};
use super::settings::{optional, part};
use super::slow_start::SlowStart;
use super::sticky::Sticky;
use super::subset::Subset;
use super::zones::Localities;
use crate::error::Error;
use crate::model::{Handle, Registration};
use crate::registry::Registry;
use crate::value::{Fields, Value};

/// Among whom a policy chooses. Every part is off by default, and then costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// Which instances this client uses at all.
    pub subset: Option<Subset>,
    /// How an instance that is new is spared.
    pub slow_start: Option<SlowStart>,
    /// Which instances a request asks for by labels.
    pub labels: Option<Labels>,
    /// Whether a request may say who is tried first.
    pub sticky: Option<Sticky>,
    /// Who is a reserve for whom, and when all are called, well or not.
    pub levels: Option<Levels>,
    /// How much goes to which locality.
    pub localities: Option<Localities>,
}

impl Before {
    /// The keys of the policy's document that are read here.
    pub(super) const KEYS: [&str; 6] = ["subset", "slow_start", "labels", "sticky", "levels", "localities"];

    /// Reads what the document changes.
    pub(super) fn read(self, fields: &Fields<'_>) -> Result<Self, Error> {
        Ok(Self {
            subset: part(fields, "subset", self.subset, Subset::from_value)?,
            slow_start: part(fields, "slow_start", self.slow_start, SlowStart::from_value)?,
            labels: part(fields, "labels", self.labels, Labels::from_value)?,
            sticky: part(fields, "sticky", self.sticky, Sticky::from_value)?,
            levels: part(fields, "levels", self.levels, Levels::from_value)?,
            localities: part(fields, "localities", self.localities, Localities::from_value)?,
        })
    }

    pub(super) fn pairs(&self) -> [(&'static str, Value); 6] {
        [
            ("subset", optional(self.subset.as_ref(), Subset::to_value)),
            ("slow_start", optional(self.slow_start.as_ref(), SlowStart::to_value)),
            ("labels", optional(self.labels.as_ref(), Labels::to_value)),
            ("sticky", optional(self.sticky.as_ref(), Sticky::to_value)),
            ("levels", optional(self.levels.as_ref(), Levels::to_value)),
            ("localities", optional(self.localities.as_ref(), Localities::to_value)),
        ]
    }

    /// Checks the ranges of all parts.
    ///
    /// # Errors
    /// As `from_value` of the parts.
    pub fn validate(&self) -> Result<(), Error> {
        let document = Value::map(self.pairs());
        Self::default().read(&Fields::new(&document, "", &Self::KEYS)?).map(drop).map_err(|error| error.within("policy"))
    }

    /// Whether it matters where an instance stands.
    pub(super) fn wants_sites(&self) -> bool {
        self.levels.is_some() || self.localities.is_some()
    }

    /// Whether it matters which groups an instance belongs to.
    pub(super) fn wants_groups(&self) -> bool {
        self.labels.is_some() || self.sticky.is_some()
    }

    /// The names of the groups of an instance.
    pub(super) fn groups(&self, registry: &Registry, handle: Handle, registration: &Registration) -> Vec<String> {
        let mut names = self.labels.as_ref().map_or_else(Vec::new, |labels| labels.groups(&registration.metadata));
        names.extend(self.sticky.as_ref().map(|sticky| sticky.group_of(registry, handle, registration)));
        names
    }

    /// The level and the locality of an instance.
    pub(super) fn site(&self, registration: &Registration) -> (u8, String) {
        let level = self.levels.as_ref().map_or(0, |levels| Levels::of(registration.metadata.get(&levels.key)));
        let path = self.localities.as_ref().map_or_else(String::new, |localities| localities.path(&registration.locality));
        (level, path)
    }
}

impl Balancer {
    /// Chooses the instances of this client anew, if it does not use all of them.
    #[cold]
    pub(super) fn reselect(&mut self) {
        let Some(subset) = self.policy().before.subset else { return };
        let members = &self.members;
        let slots: Vec<u32> = members.order().iter().copied().filter(|slot| members.availability(*slot).is_some()).collect();
        let ids: Vec<&str> = slots.iter().map(|slot| members.name(*slot).1).collect();
        let parts: Vec<(u32, f64)> = slots.iter().copied().zip(subset.parts(&ids)).collect();
        self.reweigh(&parts, PART);
    }

    /// Lets the weights of instances that are new grow, and weighs instances by what they reported. No calm lasts as long as until then.
    #[cold]
    #[inline(never)]
    pub(super) fn warm_up(&mut self) {
        let now = self.now.as_micros();
        if let Some(warmup) = self.warmup.as_mut().filter(|warmup| now >= warmup.wake()) {
            let slots = warmup.step_on(now);
            let factor = |slot: &u32| (*slot, warmup.factor(*slot, self.members.own_weight(*slot), now));
            let factors: Vec<(u32, f64)> = slots.iter().map(factor).collect();
            self.reweigh(&factors, WARM);
        }
        // A circle has so many points for a weight of 1.
        let scale = if self.policy().generator.hash_key().is_some() { 1.0 } else { FINE };
        let members = &self.members;
        if let Some(reports) = self.feedback.as_mut().and_then(|feedback| feedback.reports.as_mut())
            && now >= reports.wake()
        {
            let own = |slot: &u32| (*slot, members.own_weight(*slot));
            let here = |(slot, own): &(u32, u32)| *own > 0 && members.availability(*slot).is_some();
            let slots: Vec<(u32, u32)> = members.order().iter().map(own).filter(here).collect();
            let factors = reports.factors(&slots, scale, now);
            self.reweigh(&factors, REPORT);
        }
        let warmup = self.warmup.as_ref().map_or(u64::MAX, |warmup| warmup.wake());
        let reports = self.feedback.as_ref().and_then(|feedback| feedback.reports.as_ref()).map_or(u64::MAX, Weights::wake);
        self.wake = warmup.min(reports);
    }

    /// Sets a factor of some instances.
    fn reweigh(&mut self, factors: &[(u32, f64)], which: usize) {
        let mut slots = Vec::new();
        for (slot, factor) in factors {
            if self.members.factor(*slot, which) != *factor {
                self.tiers.touch(&mut self.members, *slot);
                self.members.set_factor(*slot, which, *factor);
                slots.push(*slot);
            }
        }
        slots.sort_unstable_by(|one, other| self.members.compare(*one, *other));
        if !slots.is_empty() {
            self.tiers.settle(&mut self.members, &slots);
        }
    }

    /// Told when the view has changed what it says of an instance, which served before or not.
    pub(super) fn season(&mut self, slot: u32, served: bool) {
        let now = self.now.as_micros();
        let Some(warmup) = &mut self.warmup else { return };
        match (served, self.members.serves(slot)) {
            (false, true) => warmup.start(slot),
            (_, false) => warmup.stop(slot),
            _ => {}
        }
        let factor = warmup.factor(slot, self.members.own_weight(slot), now);
        self.wake = self.wake.min(warmup.wake());
        self.members.set_factor(slot, WARM, factor);
    }
}
