//! What is said of the pools.

use alloc::vec::Vec;

use super::{CALLED, Kind, Tiers};
use crate::balance::explain::Share;
use crate::balance::members::{Members, Site};
use crate::balance::pick::Request;
use crate::error::{Code, Error};

impl Tiers {
    /// How the traffic is divided; empty when it is not.
    pub(in crate::balance) fn shares(&self) -> Vec<Share> {
        let all = self.plan.last().map_or(0, |(sum, _)| *sum);
        let mut before = 0u64;
        let part = |(end, place): &(u64, u32)| {
            let share = end.saturating_sub(core::mem::replace(&mut before, *end));
            let pool = self.pools.get(*place as usize)?;
            let kind = match pool.kind {
                Kind::Panic => "panic",
                Kind::Degraded => "degraded",
                _ => "healthy",
            };
            let instances = pool.slots.len() as u32;
            Some(Share { kind, level: pool.level, locality: (&*pool.locality).into(), instances, share: share as f64 / all as f64 })
        };
        self.plan.iter().filter_map(part).collect()
    }

    /// Whether an instance that may be called is given nothing at present, for others come first.
    pub(in crate::balance) fn is_reserve(&self, members: &Members, slot: u32) -> bool {
        let before = &self.policy.before;
        let Some((kind, site)) = self.of(members, slot) else { return false };
        let is_planned = |place: usize| match self.plan.as_slice() {
            [] => place == self.first,
            plan => plan.iter().any(|(_, other)| *other as usize == place),
        };
        before.wants_sites()
            && !self.find(kind, site).is_ok_and(is_planned)
            && !self.find(Kind::Panic, Site { level: site.level, ..Site::default() }).is_ok_and(is_planned)
    }

    /// Whether an instance may be called because its level panics.
    pub(in crate::balance) fn is_in_panic(&self, members: &Members, slot: u32) -> bool {
        let level = self.of(members, slot).map(|(_, site)| site.level);
        level.is_some_and(|level| self.find(Kind::Panic, Site { level, ..Site::default() }).is_ok())
    }

    /// Why nobody was chosen.
    #[cold]
    pub(in crate::balance) fn refusal(&self, request: &Request<'_>) -> Error {
        self.groups.as_ref().map_or_else(|| self.reason(), |groups| groups.refusal(self, request))
    }

    /// Why no pool had anybody.
    pub(in crate::balance) fn reason(&self) -> Error {
        if self.pools.iter().any(|pool| (pool.kind as usize) < CALLED) {
            Error::new(Code::AllExcluded, "exclude").message("every instance that may be given the call is excluded")
        } else {
            Error::new(Code::NoneAvailable, "").message("no instance may be given a call: all are unavailable or have weight 0")
        }
    }
}
