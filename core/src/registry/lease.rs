//! When leases must be looked at, as far as columns and counts go.
//!
//! A renewal writes one time into one column and touches nothing else: when the record is due. Each chunk of 1024 records keeps a
//! bound below all of its due times, which renewals leave as it is, since they only put the time off. When the bound comes up, the chunk
//! is looked through and has a new one. So a renewal costs one store, and a look at one number some time later.

use alloc::vec::Vec;

use super::columns::{CHUNK, Chunk, Flags, NEVER, PARKED, split};
use super::store::Store;
use crate::time::Timestamp;

impl Store {
    /// When a lease counts from.
    pub(super) fn beat(&self, slot: u32) -> u64 {
        let profile = self.profile(slot);
        let grace = if self.is_suspect(slot) { profile.grace } else { 0 };
        (self.due(slot) & !PARKED).saturating_sub(profile.ttl).saturating_sub(grace)
    }

    /// Renews at once what needs no more than that: a local record of incarnation 0 that is not suspect and that no other server watches. Whether it did.
    #[inline]
    pub(super) fn renew_plainly(&mut self, slot: u32, now: Timestamp) -> bool {
        let (chunk, at) = split(slot);
        let Some(chunk) = self.chunks.get_mut(chunk) else { return false };
        let (Some(cell), Some(due)) = (chunk.cells.get(at), chunk.due.get_mut(at)) else { return false };
        if cell.flags & (Flags::SUSPECT | Flags::FENCED | 31 << Flags::SOURCE) != 0 {
            return false;
        }
        let ttl = self.pools.profile(cell.profile).ttl;
        if ttl > 0 {
            if *due == NEVER {
                return false;
            }
            // It only moves on, so the bound of the chunk holds.
            *due = now.as_micros().saturating_add(ttl);
        }
        true
    }

    /// A lease begins, live.
    pub(super) fn start_lease(&mut self, slot: u32, now: Timestamp) {
        let ttl = self.profile(slot).ttl;
        self.arm(slot, if ttl > 0 { now.as_micros().saturating_add(ttl) } else { NEVER });
    }

    /// The record must be looked at then.
    pub(super) fn arm(&mut self, slot: u32, due: u64) {
        let (chunk, _) = split(slot);
        if let Some(bound) = self.bounds.get_mut(chunk) {
            *bound = due.min(*bound);
        }
        self.set_due(slot, due);
    }

    /// Makes a record that is due suspect, or lets it wait for a pass when it is overdue; whether it is.
    pub(super) fn fall_due(&mut self, slot: u32, now: u64) -> bool {
        let (due, number) = (self.due(slot), self.service(slot));
        let end = if self.is_suspect(slot) { due } else { due.saturating_add(self.profile(slot).grace) };
        if !self.is_suspect(slot) {
            self.set_suspect(slot, true);
        }
        if end > now {
            self.arm(slot, end);
            return false;
        }
        self.set_due(slot, end | PARKED);
        if let Some(service) = self.services.get_mut(number) {
            service.protection.overdue.push((end, slot));
            // Those that were renewed while they waited stay until the next pass; not too many of them.
            if service.protection.overdue.len() > service.members.len().saturating_mul(2).saturating_add(64) {
                let mut overdue = core::mem::take(&mut service.protection.overdue);
                overdue.retain(|(end, slot)| self.is_parked(*slot, *end));
                if let Some(service) = self.services.get_mut(number) {
                    service.protection.overdue = overdue;
                }
            }
        }
        true
    }

    /// Whether a record still waits for a pass since that time.
    pub(super) fn is_parked(&self, slot: u32, end: u64) -> bool {
        self.due(slot) == end | PARKED
    }

    /// Takes back that a record is suspect.
    pub(super) fn settle_lease(&mut self, slot: u32) {
        if self.is_suspect(slot) {
            self.set_suspect(slot, false);
        }
    }

    fn set_suspect(&mut self, slot: u32, suspect: bool) {
        self.set_flags(slot, self.flags(slot).with(Flags::SUSPECT, if suspect { Flags::SUSPECT } else { 0 }));
        let number = self.service(slot);
        if let Some(service) = self.services.get_mut(number) {
            service.suspects = if suspect { service.suspects.saturating_add(1) } else { service.suspects.saturating_sub(1) };
        }
    }

    /// The records that are due by `now`, in no order that matters. The bounds of the chunks that were looked at no longer
    /// count these.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<u32> {
        let mut found = Vec::new();
        for ((chunk, bound), first) in self.chunks.iter().zip(&mut self.bounds).zip((0u32..).step_by(CHUNK)) {
            if *bound > now {
                continue;
            }
            // What is parked is later than any time.
            *bound = chunk.due.iter().copied().fold(NEVER, u64::min);
            if *bound <= now {
                found.extend(chunk.due.iter().zip(first..).filter(|(due, _)| **due <= now).map(|(_, slot)| slot));
                *bound = chunk.due.iter().copied().filter(|due| *due > now).min().unwrap_or(NEVER);
            }
        }
        found
    }

    /// Has every live lease begin anew.
    pub(super) fn restart_leases(&mut self, now: Timestamp) {
        for (chunk, bound) in self.chunks.iter_mut().zip(&mut self.bounds) {
            *bound = NEVER;
            for (due, cell) in chunk.due.iter_mut().zip(&chunk.cells) {
                if *due < PARKED {
                    let profile = self.pools.profile(cell.profile);
                    let grace = if cell.flags & Flags::SUSPECT == 0 { 0 } else { profile.grace };
                    *due = now.as_micros().saturating_add(profile.ttl).saturating_add(grace);
                    *bound = (*due).min(*bound);
                }
            }
        }
    }

    /// A time before which no lease is due; `NEVER` without leases.
    pub(super) fn earliest(&self) -> u64 {
        self.bounds.iter().copied().min().filter(|bound| bound & PARKED == 0).unwrap_or(NEVER)
    }

    /// When the first lease is due. Costs a look at every record of the chunks in question.
    pub(super) fn first_due(&self) -> u64 {
        let look = |first: u64, (chunk, bound): (&alloc::boxed::Box<Chunk>, &u64)| {
            if *bound < first { chunk.due.iter().copied().fold(first, u64::min) } else { first }
        };
        let first = self.chunks.iter().zip(&self.bounds).fold(NEVER, look);
        if first & PARKED == 0 { first } else { NEVER }
    }
}
